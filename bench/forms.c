// Closed-loop appends of 128-byte records in one form: what a header of an append costs.
//
//     forms PORT FORM CONNECTIONS SECONDS LOGS RUN [COUNT]
//
// FORM is plain, producer, key or condition. With LOGS 0 each connection appends to a log of its own; else all go round LOGS
// logs, and only plain will do. It stops after SECONDS, or when COUNT appends were sent. RUN keeps the names of one run apart from those of another. Prints one line of JSON. Anything
// but a 201 ends it with 1: a refusal is not a fast append.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sample.h"

enum { record_bytes = 128, head_bytes_max = 512, answer_bytes_max = 4096, connections_max = 1024, wait_milliseconds = 10000 };

enum form { plain, producer, key, condition };
static const char *const form_names[] = {"plain", "producer", "key", "condition"};

struct connection {
    int socket, number;
    uint64_t sequence, began;
    size_t answer_bytes;
    char answer[answer_bytes_max];
};

struct run {
    enum form form;
    uint64_t port, logs, name, sent, count, deadline;
};

static _Noreturn void fail(const char *what, const char *detail) {
    fprintf(stderr, "forms: %s: %s\n", what, detail);
    exit(1);
}

static int connected_to(uint16_t port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket_ < 0 || connect(socket_, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect", strerror(errno));
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return socket_;
}

/// The header lines of a form; the same for every request but for the sequence number.
static int header(char *text, size_t room, const struct run *run, const struct connection *connection) {
    unsigned long long name = run->name, sequence = connection->sequence;
    switch (run->form) {
    case producer:
        return snprintf(text, room, "Producer-Id: bench-%llu-%d\r\nProducer-Epoch: 0\r\nProducer-Seq: %llu\r\n", name,
                        connection->number, sequence);
    case key: return snprintf(text, room, "Idempotency-Key: bench-%llu-%d-%llu\r\n", name, connection->number, sequence);
    case condition: return snprintf(text, room, "If-Match: \"%llu\"\r\n", sequence);
    case plain: break;
    }
    *text = '\0';
    return 0;
}

static void send_append(struct run *run, struct connection *connection) {
    char request[head_bytes_max + record_bytes], line[head_bytes_max / 2];
    unsigned long long log = run->logs > 0 ? run->sent % run->logs : (unsigned)connection->number;
    header(line, sizeof line, run, connection);
    int head = snprintf(request, head_bytes_max,
                        "POST /v1/logs/bench-%s-%llu-%06llu/records HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: %d\r\n\r\n",
                        form_names[run->form], (unsigned long long)run->name, log, line, record_bytes);
    memset(request + head, 'r', record_bytes);
    size_t bytes = (size_t)head + record_bytes;
    connection->began = now_nanoseconds();
    connection->answer_bytes = 0;
    if (send(connection->socket, request, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) fail("send", strerror(errno));
    connection->sequence++;
    run->sent++;
}

/// Takes what has come; 1 when the answer is whole.
static int take_answer(struct connection *connection) {
    char *answer = connection->answer;
    ssize_t count = recv(connection->socket, answer + connection->answer_bytes,
                         answer_bytes_max - 1 - connection->answer_bytes, 0);
    if (count <= 0) fail("recv", count == 0 ? "the server closed the connection" : strerror(errno));
    connection->answer_bytes += (size_t)count;
    answer[connection->answer_bytes] = '\0';
    char *end = strstr(answer, "\r\n\r\n");
    if (end == NULL) return 0;
    if (strncmp(answer, "HTTP/1.1 201", 12) != 0) fail("no 201", answer);
    char *length = strcasestr(answer, "\r\ncontent-length:");
    if (length == NULL || length > end) fail("no Content-Length", answer);
    return connection->answer_bytes >= (size_t)(end + 4 - answer) + strtoul(length + 17, NULL, 10);
}

static size_t drive(struct run *run, struct connection *connections, size_t count, uint64_t *samples) {
    struct epoll_event events[256];
    size_t open = count, sampled = 0;
    int poll = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < count; i++) {
        connections[i] = (struct connection){.socket = connected_to((uint16_t)run->port), .number = (int)i};
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].socket, &event) < 0) fail("epoll_ctl", strerror(errno));
        send_append(run, &connections[i]);
    }
    while (open > 0) {
        int ready = epoll_wait(poll, events, 256, wait_milliseconds);
        if (ready <= 0) fail("epoll_wait", ready == 0 ? "no answer" : strerror(errno));
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!take_answer(connection)) continue;
            uint64_t now = now_nanoseconds();
            if (sampled < SAMPLE_COUNT_MAX) samples[sampled++] = now - connection->began;
            if (now < run->deadline && run->sent < run->count) {
                send_append(run, connection);
            } else {
                close(connection->socket);
                open--;
            }
        }
    }
    close(poll);
    return sampled;
}

int main(int argc, char **argv) {
    static struct connection connections[connections_max];
    struct run run = {.form = 4};
    for (int i = 0; argc >= 7 && i < 4; i++)
        if (strcmp(argv[2], form_names[i]) == 0) run.form = (enum form)i;
    if (argc < 7 || argc > 8 || (int)run.form == 4) {
        fprintf(stderr, "usage: forms PORT plain|producer|key|condition CONNECTIONS SECONDS LOGS RUN [COUNT]\n");
        return 2;
    }
    run.port = argument_between("PORT", argv[1], 1, 65535);
    size_t count = argument_between("CONNECTIONS", argv[3], 1, connections_max);
    uint64_t seconds = argument_between("SECONDS", argv[4], 1, 600);
    run.logs = argument_between("LOGS", argv[5], 0, 1000000);
    run.name = argument_between("RUN", argv[6], 0, 1000000);
    run.count = argc > 7 ? argument_between("COUNT", argv[7], 1, 1000000000) : UINT64_MAX;
    if (run.logs > 0 && run.form != plain) fail("LOGS", "only plain appends go round several logs");
    uint64_t *samples = malloc(SAMPLE_COUNT_MAX * sizeof *samples);
    if (samples == NULL) fail("malloc", strerror(errno));
    uint64_t began = now_nanoseconds();
    run.deadline = began + seconds * 1000000000u;
    size_t sampled = drive(&run, connections, count, samples);
    double took = (double)(now_nanoseconds() - began) / 1e9;
    printf("{\"form\": \"%s\", \"requests\": %llu, \"seconds\": %.3f, \"requests_per_second\": %.0f, ", argv[2],
           (unsigned long long)run.sent, took, (double)run.sent / took);
    print_samples(samples, sampled);
    printf("}\n");
    return 0;
}
