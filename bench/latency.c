// What one client waits for a durable append: POSTs one record after another over one keep-alive connection.
//
//     latency PORT [--record-bytes 128] [--count 5000] [--seconds 10]
//
// Stops after `count` appends or `seconds`, whichever comes first, and prints one line of JSON.
// Anything but a 201 ends it with 1: a refusal is not a fast append.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "sample.h"

enum {
    record_bytes_max = 1 << 20,
    head_bytes_max = 512,
    answer_bytes_max = 16 << 10,
    warm_up_count = 100,
    answer_seconds_max = 10,
};

struct plan {
    uint64_t port, record_bytes, count, seconds;
};

static _Noreturn void fail(const char *what, const char *detail) {
    fprintf(stderr, "latency: %s: %s\n", what, detail);
    exit(1);
}

static struct plan plan_of(int argc, char **argv) {
    struct plan plan = {.record_bytes = 128, .count = 5000, .seconds = 10};
    int i = 2;
    if (argc > 1) plan.port = argument_between("PORT", argv[1], 1, 65535);
    for (; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--record-bytes") == 0)
            plan.record_bytes = argument_between(argv[i], argv[i + 1], 1, record_bytes_max);
        else if (strcmp(argv[i], "--count") == 0)
            plan.count = argument_between(argv[i], argv[i + 1], 1, SAMPLE_COUNT_MAX);
        else if (strcmp(argv[i], "--seconds") == 0)
            plan.seconds = argument_between(argv[i], argv[i + 1], 1, 600);
        else
            break;
    }
    if (plan.port == 0 || i != argc) {
        fprintf(stderr, "usage: latency PORT [--record-bytes N] [--count N] [--seconds N]\n");
        exit(2);
    }
    return plan;
}

static int connected_to(uint16_t port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval longest = {.tv_sec = answer_seconds_max};
    int on = 1, connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0) fail("socket", strerror(errno));
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof longest);
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof longest);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) < 0) fail("connect", strerror(errno));
    return connection;
}

/// The whole request, head and record in one piece, so that it leaves in one send.
static char *request_of(uint64_t record_bytes, size_t *request_bytes) {
    char *request = malloc(head_bytes_max + record_bytes);
    if (!request) fail("no memory", "request");
    int head = snprintf(request, head_bytes_max,
                        "POST /v1/logs/bench-latency/records HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                        "Content-Type: application/octet-stream\r\nContent-Length: %llu\r\n\r\n",
                        (unsigned long long)record_bytes);
    memset(request + head, 'x', record_bytes);
    *request_bytes = (size_t)head + record_bytes;
    return request;
}

static void send_all(int connection, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = send(connection, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0) fail("send", strerror(errno));
        bytes += sent;
        count -= (size_t)sent;
    }
}

/// Bytes of the whole answer once its head is there, else 0.
static size_t answer_bytes_of(const char *answer) {
    const char *end = strstr(answer, "\r\n\r\n");
    if (!end) return 0;
    if (strncmp(answer, "HTTP/1.1 201 ", 13) != 0) fail("not a 201", answer);
    const char *length = strcasestr(answer, "\r\nContent-Length: ");
    if (!length || length > end) fail("no Content-Length", answer);
    return (size_t)(end + 4 - answer) + (size_t)atoi(length + strlen("\r\nContent-Length: "));
}

/// Reads one answer. More bytes than it announces would belong to no request: refused.
static void receive_answer(int connection) {
    static char answer[answer_bytes_max + 1];
    size_t received = 0, expected = 0;
    while (expected == 0 || received < expected) {
        if (received == answer_bytes_max) fail("answer too large", answer);
        ssize_t count = recv(connection, answer + received, answer_bytes_max - received, 0);
        if (count <= 0) fail("receive", count == 0 ? "the server closed the connection" : strerror(errno));
        received += (size_t)count;
        answer[received] = '\0';
        if (expected == 0) expected = answer_bytes_of(answer);
    }
    if (received != expected) fail("more bytes than Content-Length says", answer);
}

int main(int argc, char **argv) {
    struct plan plan = plan_of(argc, argv);
    int connection = connected_to((uint16_t)plan.port);
    size_t request_bytes = 0;
    char *request = request_of(plan.record_bytes, &request_bytes);
    uint64_t *samples = malloc(plan.count * sizeof *samples);
    if (!samples) fail("no memory", "samples");

    for (int i = 0; i < warm_up_count; i++) {
        send_all(connection, request, request_bytes);
        receive_answer(connection);
    }
    uint64_t count = 0, begun = now_nanoseconds(), end = begun + plan.seconds * 1000000000u, now = begun;
    while (count < plan.count && now < end) {
        uint64_t before = now;
        send_all(connection, request, request_bytes);
        receive_answer(connection);
        now = now_nanoseconds();
        samples[count++] = now - before;
    }
    printf("{\"record_bytes\": %llu, \"warm_up\": %d, \"appends_per_second\": %.0f, ",
           (unsigned long long)plan.record_bytes, warm_up_count, (double)count / ((double)(now - begun) / 1e9));
    print_samples(samples, count);
    printf("}\n");
    close(connection);
    return 0;
}
