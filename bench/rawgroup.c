// The least that a write-ahead log must do for N records that are outstanding together, without a library around it.
//
//     rawgroup DIR direct|fdatasync|unsynced [--records 64] [--record-bytes 128] [--depth 1] [--count 5000] [--seconds 2]
//
// Fills a 64 MiB file in DIR with zeros. `direct`: each commit copies N records into an aligned buffer and writes it by
// io_uring, O_DIRECT and RWF_DSYNC; `depth` (1 or 2) writes are in flight. `fdatasync`, `unsynced`: each record is one
// pwrite through the page cache, with or without the sync behind it. Prints one line of JSON; the file is gone afterwards.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sample.h"

enum { segment_bytes = 64 << 20, fill_bytes = 1 << 20, block_bytes = 4096, depth_max = 2 };

struct plan {
    const char *directory, *mode;
    uint64_t records, record_bytes, depth, count, seconds;
};

static _Noreturn void fail(const char *what, int error) {
    fprintf(stderr, "rawgroup: %s: %s\n", what, strerror(error));
    exit(1);
}

static struct plan plan_of(int argc, char **argv) {
    struct plan plan = {.records = 64, .record_bytes = 128, .depth = 1, .count = 5000, .seconds = 2};
    int i = 3;
    for (; i + 1 < argc; i += 2) {
        const char *name = argv[i], *text = argv[i + 1];
        if (strcmp(name, "--records") == 0) plan.records = argument_between(name, text, 1, 4096);
        else if (strcmp(name, "--record-bytes") == 0) plan.record_bytes = argument_between(name, text, 1, 1 << 20);
        else if (strcmp(name, "--depth") == 0) plan.depth = argument_between(name, text, 1, depth_max);
        else if (strcmp(name, "--count") == 0) plan.count = argument_between(name, text, 1, SAMPLE_COUNT_MAX);
        else if (strcmp(name, "--seconds") == 0) plan.seconds = argument_between(name, text, 1, 60);
        else break;
    }
    if (argc < 3 || i != argc || plan.records * plan.record_bytes > 4 << 20) {
        fprintf(stderr, "usage: rawgroup DIR direct|fdatasync|unsynced [--records N] [--record-bytes N] [--depth N] "
                        "[--count N] [--seconds N]\n");
        exit(2);
    }
    plan.directory = argv[1];
    plan.mode = argv[2];
    return plan;
}

static char *aligned_buffer(size_t bytes, int fill) {
    void *buffer = NULL;
    int error = posix_memalign(&buffer, block_bytes, bytes);
    if (error) fail("no memory", error);
    memset(buffer, fill, bytes);
    return buffer;
}

/// A file of written blocks: only into those does a durable write need no metadata.
static int filled_file(const char *directory, int flags) {
    char path[4096];
    snprintf(path, sizeof path, "%s/rawgroup-%d", directory, (int)getpid());
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0600);
    if (file < 0) fail(path, errno);
    unlink(path); // nothing is left behind, however the program ends
    char *zeros = aligned_buffer(fill_bytes, 0);
    for (off_t at = 0; at < segment_bytes; at += fill_bytes) {
        ssize_t written = pwrite(file, zeros, fill_bytes, at);
        if (written != fill_bytes) fail("cannot fill the file", written < 0 ? errno : ENOSPC);
    }
    if (fdatasync(file) < 0) fail("fdatasync", errno);
    free(zeros);
    return file;
}

static double cpu_microseconds(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

/// The ring as the write-ahead log sets it up; plain where the kernel is older than the flags (6.1).
static void start_ring(struct io_uring *ring) {
    int error = io_uring_queue_init(8, ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (error == -EINVAL) error = io_uring_queue_init(8, ring, 0);
    if (error < 0) fail("io_uring_queue_init", -error);
}

/// Commits until the plan's end; returns how many.
static uint64_t run_direct(const struct plan *plan, int file, const char *record, uint64_t *samples, uint64_t end) {
    size_t payload = plan->records * plan->record_bytes, bytes = (payload + block_bytes - 1) / block_bytes * block_bytes;
    char *buffers[depth_max];
    for (int i = 0; i < depth_max; i++) buffers[i] = aligned_buffer(bytes, 0);
    struct io_uring ring;
    start_ring(&ring);
    uint64_t begun[depth_max], submitted = 0, done = 0, at = 0, now = now_nanoseconds();
    int idle[depth_max] = {0, 1}, idle_count = (int)plan->depth;
    while (done < plan->count && (now < end || done < submitted)) {
        for (; idle_count > 0 && submitted < plan->count && now < end; submitted++) {
            int slot = idle[--idle_count];
            begun[slot] = now_nanoseconds();
            for (uint64_t i = 0; i < plan->records; i++)
                memcpy(buffers[slot] + i * plan->record_bytes, record, plan->record_bytes);
            struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
            io_uring_prep_write(sqe, file, buffers[slot], (unsigned)bytes, at);
            sqe->rw_flags = RWF_DSYNC;
            io_uring_sqe_set_data64(sqe, (uint64_t)slot);
            at += bytes;
            if (at + bytes > segment_bytes) at = 0;
        }
        int result = io_uring_submit_and_wait(&ring, 1);
        if (result < 0) fail("io_uring_submit_and_wait", -result);
        struct io_uring_cqe *cqe = NULL;
        while (io_uring_peek_cqe(&ring, &cqe) == 0) {
            if (cqe->res != (int)bytes) fail("write", cqe->res < 0 ? -cqe->res : EIO);
            int slot = (int)io_uring_cqe_get_data64(cqe);
            io_uring_cqe_seen(&ring, cqe);
            now = now_nanoseconds();
            samples[done++] = now - begun[slot];
            idle[idle_count++] = slot;
        }
    }
    io_uring_queue_exit(&ring);
    return done;
}

static uint64_t run_buffered(const struct plan *plan, int file, const char *record, uint64_t *samples, uint64_t end) {
    uint64_t done = 0, at = 0, now = now_nanoseconds();
    int syncs = strcmp(plan->mode, "fdatasync") == 0;
    for (; done < plan->count && now < end; done++) {
        uint64_t before = now;
        ssize_t written = pwrite(file, record, plan->record_bytes, (off_t)at);
        if (written != (ssize_t)plan->record_bytes) fail("pwrite", written < 0 ? errno : EIO);
        if (syncs && fdatasync(file) < 0) fail("fdatasync", errno);
        at += plan->record_bytes;
        if (at + plan->record_bytes > segment_bytes) at = 0;
        now = now_nanoseconds();
        samples[done] = now - before;
    }
    return done;
}

int main(int argc, char **argv) {
    struct plan plan = plan_of(argc, argv);
    int direct = strcmp(plan.mode, "direct") == 0;
    if (!direct && strcmp(plan.mode, "fdatasync") != 0 && strcmp(plan.mode, "unsynced") != 0) exit(2);
    int file = filled_file(plan.directory, direct ? O_DIRECT : 0);
    char *record = aligned_buffer(plan.record_bytes, 0xA5);
    uint64_t *samples = malloc(plan.count * sizeof *samples);
    if (!samples) fail("no memory", ENOMEM);
    uint64_t begun = now_nanoseconds(), end = begun + plan.seconds * 1000000000u;
    double cpu = cpu_microseconds();
    uint64_t commits = (direct ? run_direct : run_buffered)(&plan, file, record, samples, end);
    double seconds = (double)(now_nanoseconds() - begun) / 1e9;
    cpu = cpu_microseconds() - cpu;
    double records = (double)commits * (direct ? (double)plan.records : 1);
    printf("{\"seconds\": %.3f, \"records_per_second\": %.0f, \"bytes_per_second\": %.0f, \"cpu_us_per_commit\": %.2f, ",
           seconds, records / seconds, records * (double)plan.record_bytes / seconds, cpu / (double)commits);
    print_samples(samples, commits);
    printf("}\n");
    return 0;
}
