// Follows one log with many subscribers while records are appended to it at a fixed rate, all over loopback.
//
//     live PORT LOG SUBSCRIBERS APPENDS_PER_SECOND SECONDS
//
// Each record is the monotonic time of its sending in nanoseconds: what a subscriber reads says how long it took, the commit
// included. One thread and one epoll. Prints one line of JSON. A lost, repeated or reordered record ends it with 1.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { buffer_bytes = 64 << 10, line_bytes_max = 512, appenders = 8, bucket_count = 200000, bucket_nanoseconds = 10000 };

struct peer {
    int descriptor;
    bool is_appender, is_busy;
    long next_offset;
    uint64_t sent;
    // The beginning of a line whose end has not come. (A buffer for each would not fit the caches.)
    size_t kept;
    char line[line_bytes_max];
};

struct latencies {
    uint64_t count, max, buckets[bucket_count];
};

static struct latencies delivery, append;
static char buffer[line_bytes_max + buffer_bytes];

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "live: %s (%s)\n", what, strerror(errno));
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int connected(int port) {
    int descriptor = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return descriptor;
}

static void send_append(struct peer *peer, const char *log) {
    char body[32], request[256];
    int body_bytes = snprintf(body, sizeof body, "%020llu", (unsigned long long)now());
    int bytes = snprintf(request, sizeof request,
        "POST /v1/logs/%s/records HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s", log, body_bytes, body);
    if (send(peer->descriptor, request, (size_t)bytes, MSG_NOSIGNAL) != bytes) fail("send");
    peer->sent = now();
    peer->is_busy = true;
}

static void note(struct latencies *latencies, uint64_t nanoseconds) {
    uint64_t bucket = nanoseconds / bucket_nanoseconds;
    latencies->buckets[bucket < bucket_count ? bucket : bucket_count - 1]++;
    if (nanoseconds > latencies->max) latencies->max = nanoseconds;
    latencies->count++;
}

// Takes the whole lines of a subscriber.
static void take_lines(struct peer *peer, size_t filled) {
    static const char id[] = "id: ", data[] = "data: ";
    uint64_t time = now();
    char *line = buffer, *end = buffer + filled, *stop;
    for (; (stop = memchr(line, '\n', (size_t)(end - line))); line = stop + 1) {
        if (memcmp(line, id, 4) == 0) {
            long offset = strtol(line + 4, NULL, 10);
            if (peer->next_offset >= 0 && offset != peer->next_offset) fail("a record was lost, repeated or reordered");
            peer->next_offset = offset + 1;
        } else if (memcmp(line, data, 6) == 0 && stop - line > 24) {
            // …"data":"00000000001234567890"}
            note(&delivery, time - strtoull(stop - 22, NULL, 10));
        }
    }
    peer->kept = (size_t)(end - line);
    if (peer->kept > line_bytes_max) fail("a line is too long");
    memcpy(peer->line, line, peer->kept);
}

static void receive(struct peer *peer) {
    memcpy(buffer, peer->line, peer->kept);
    ssize_t bytes = recv(peer->descriptor, buffer + peer->kept, buffer_bytes, MSG_DONTWAIT);
    if (bytes < 0 && errno == EAGAIN) return;
    if (bytes <= 0) fail(peer->is_appender ? "an appender was cut" : "a subscriber was cut");
    if (peer->is_appender) {
        if (memcmp(buffer, "HTTP/1.1 201", 12) != 0) fail("an append was refused");
        peer->is_busy = false;
        note(&append, now() - peer->sent);
        return;
    }
    take_lines(peer, peer->kept + (size_t)bytes);
}

// Milliseconds.
static double quantile(const struct latencies *latencies, double part) {
    uint64_t wanted = (uint64_t)((double)latencies->count * part), sum = 0;
    for (int i = 0; i < bucket_count; i++)
        if ((sum += latencies->buckets[i]) >= wanted) return (double)(i + 1) * bucket_nanoseconds / 1e6;
    return -1;
}

int main(int argc, char **argv) {
    if (argc != 6) fail("usage: live PORT LOG SUBSCRIBERS APPENDS_PER_SECOND SECONDS");
    int port = atoi(argv[1]), subscribers = atoi(argv[3]), rate = atoi(argv[4]), seconds = atoi(argv[5]);
    int poll = epoll_create1(0), count = subscribers + appenders;
    struct peer *peers = calloc((size_t)count, sizeof *peers);
    for (int i = 0; i < count; i++) {
        char request[256];
        peers[i].descriptor = connected(port);
        peers[i].is_appender = i < appenders;
        peers[i].next_offset = -1;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &peers[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, peers[i].descriptor, &event);
        if (peers[i].is_appender) continue;
        int bytes = snprintf(request, sizeof request,
            "GET /v1/logs/%s/records?from=1 HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n", argv[2]);
        if (send(peers[i].descriptor, request, (size_t)bytes, 0) != bytes) fail("send");
    }
    uint64_t begin = now() + 1000000000u, next = begin, end = begin + (uint64_t)seconds * 1000000000u, appended = 0, late = 0;
    for (uint64_t time; (time = now()) < end + 500000000u;) {
        while (next <= time && next < end) {
            int i = 0;
            while (i < appenders && peers[i].is_busy) i++;
            if (i == appenders) { late++; break; }
            send_append(&peers[i], argv[2]);
            appended++;
            next += 1000000000u / (uint64_t)rate;
        }
        struct epoll_event events[256];
        int ready = epoll_wait(poll, events, 256, 1);
        for (int i = 0; i < ready; i++) receive(events[i].data.ptr);
    }
    printf("{\"subscribers\":%d,\"appends\":%llu,\"late\":%llu,\"delivered\":%llu,\"complete\":%s,\"p50_ms\":%.2f,\"p99_ms\":%.2f,"
           "\"p999_ms\":%.2f,\"max_ms\":%.2f,\"append_p50_ms\":%.2f,\"append_p99_ms\":%.2f}\n",
        subscribers, (unsigned long long)appended, (unsigned long long)late, (unsigned long long)delivery.count,
        delivery.count == appended * (uint64_t)subscribers ? "true" : "false", quantile(&delivery, 0.5), quantile(&delivery, 0.99),
        quantile(&delivery, 0.999), (double)delivery.max / 1e6, quantile(&append, 0.5), quantile(&append, 0.99));
    return 0;
}
