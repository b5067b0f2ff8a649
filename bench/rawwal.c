// What the disk alone can do: the write-ahead log's write, without a server around it.
//
//     rawwal DIR [--write-bytes 4096] [--count 5000] [--seconds 10]
//
// Fills a 64 MiB file in DIR with zeros, then writes into it one block after another by io_uring, O_DIRECT and
// RWF_DSYNC, one write in flight, and waits for each. Stops after `count` writes or `seconds`, whichever comes first.
// Prints one line of JSON. The file is gone afterwards. 1 means that a write failed, 2 that the arguments are wrong.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sample.h"

enum {
    segment_bytes = 64 << 20,
    fill_bytes = 1 << 20,
    alignment_bytes = 4096,
};

struct plan {
    const char *directory;
    uint64_t write_bytes, count, seconds;
};

static _Noreturn void fail(const char *what, int error) {
    fprintf(stderr, "rawwal: %s: %s\n", what, strerror(error));
    exit(1);
}

static struct plan plan_of(int argc, char **argv) {
    struct plan plan = {.directory = argc > 1 ? argv[1] : NULL, .write_bytes = 4096, .count = 5000, .seconds = 10};
    int i = 2;
    for (; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--write-bytes") == 0)
            plan.write_bytes = argument_between(argv[i], argv[i + 1], 512, 16 << 20);
        else if (strcmp(argv[i], "--count") == 0)
            plan.count = argument_between(argv[i], argv[i + 1], 1, SAMPLE_COUNT_MAX);
        else if (strcmp(argv[i], "--seconds") == 0)
            plan.seconds = argument_between(argv[i], argv[i + 1], 1, 600);
        else
            break;
    }
    if (!plan.directory || i != argc || plan.write_bytes % 512 != 0) {
        fprintf(stderr, "usage: rawwal DIR [--write-bytes N, a multiple of 512] [--count N] [--seconds N]\n");
        exit(2);
    }
    return plan;
}

static void *aligned_buffer(size_t bytes, int fill) {
    void *buffer = NULL;
    int error = posix_memalign(&buffer, alignment_bytes, bytes);
    if (error) fail("no memory", error);
    memset(buffer, fill, bytes);
    return buffer;
}

/// A file of written blocks: only into those does a durable write need no metadata (unwritten ones halve the speed).
static int filled_file(const char *directory) {
    char path[4096];
    snprintf(path, sizeof path, "%s/rawwal-%d", directory, (int)getpid());
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);
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

/// The ring as the write-ahead log sets it up; plain where the kernel is older than the flags (6.1).
static void start_ring(struct io_uring *ring) {
    int error = io_uring_queue_init(8, ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (error == -EINVAL) error = io_uring_queue_init(8, ring, 0);
    if (error < 0) fail("io_uring_queue_init", -error);
}

/// One write made durable; a short one counts as a failure, so that a full disk cannot look fast.
static void write_and_wait(struct io_uring *ring, int file, const void *bytes, unsigned count, uint64_t at) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    io_uring_prep_write(sqe, file, bytes, count, at);
    sqe->rw_flags = RWF_DSYNC;
    int submitted = io_uring_submit_and_wait(ring, 1);
    if (submitted < 0) fail("io_uring_submit_and_wait", -submitted);
    struct io_uring_cqe *cqe = NULL;
    int error = io_uring_wait_cqe(ring, &cqe);
    if (error < 0) fail("io_uring_wait_cqe", -error);
    int written = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    if (written != (int)count) fail("write", written < 0 ? -written : EIO);
}

int main(int argc, char **argv) {
    struct plan plan = plan_of(argc, argv);
    int file = filled_file(plan.directory);
    char *block = aligned_buffer(plan.write_bytes, 0xA5);
    uint64_t *samples = malloc(plan.count * sizeof *samples);
    if (!samples) fail("no memory", ENOMEM);
    struct io_uring ring;
    start_ring(&ring);

    uint64_t count = 0, at = 0, begun = now_nanoseconds(), end = begun + plan.seconds * 1000000000u, now = begun;
    while (count < plan.count && now < end) {
        uint64_t before = now;
        write_and_wait(&ring, file, block, (unsigned)plan.write_bytes, at);
        now = now_nanoseconds();
        samples[count++] = now - before;
        at += plan.write_bytes;
        if (at + plan.write_bytes > segment_bytes) at = 0;
    }
    double seconds = (double)(now - begun) / 1e9;
    printf("{\"write_bytes\": %llu, \"seconds\": %.3f, \"commits_per_second\": %.0f, \"mb_per_second\": %.1f, ",
           (unsigned long long)plan.write_bytes, seconds, (double)count / seconds,
           (double)(count * plan.write_bytes) / seconds / 1e6);
    print_samples(samples, count);
    printf("}\n");
    io_uring_queue_exit(&ring);
    return 0;
}
