// The ceiling that appendlog is measured against: libmicrohttpd answering the same POST at once, storing nothing.
//
//     responder [serve] --listen 127.0.0.1:PORT [--data-dir IGNORED]
//
// It takes appendlog's arguments and prints its first log line (`listening=127.0.0.1:PORT` on stderr), so that
// bench/run can drive either. The loop is appendlog's without the ring: one thread, poll on libmicrohttpd's epoll
// descriptor, MHD_run. The 201 has the headers and the length of appendlog's answer, and is built only once.
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/// The log's name is as long as those of append.lua, the offsets have the seven digits of a run's middle.
static const char created_body[] =
    "{\"log\":\"bench-00\",\"first\":1000000,\"next\":1000001,\"count\":1,\"timestamp\":\"2026-11-22T22:05:03.123456Z\"}\n";
static const char created_location[] = "/v1/logs/bench-00/records/1000000";

enum {
    connections_max = 2000,
    connection_memory_bytes = 8 * 1024, // the pool is zeroed after each request: larger costs throughput
    tick_milliseconds = 100,            // at its connection limit libmicrohttpd listens again only in a run after a close
};

static volatile sig_atomic_t stopping;
static unsigned long long answered;
static struct MHD_Response *created, *ready, *unknown;

static void stop(int signal_number) {
    (void)signal_number;
    stopping = 1;
}

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "responder: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct MHD_Response *response_of(const char *body, const char *type) {
    struct MHD_Response *response = MHD_create_response_from_buffer(strlen(body), (void *)body, MHD_RESPMEM_MUST_COPY);
    if (!response) fail("cannot create a response");
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    return response;
}

/// As much of appendlog's /v1/stats as bench/run reads. There are no batches: nothing is written.
static enum MHD_Result answer_stats(struct MHD_Connection *connection) {
    char body[128];
    snprintf(body, sizeof body, "{\"totals\":{\"records\":%llu},\"wal\":{\"records\":0,\"batches\":0}}", answered);
    struct MHD_Response *response = response_of(body, "application/json");
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer(struct MHD_Connection *connection, const char *url, const char *method) {
    if (strcmp(method, "POST") == 0 && strncmp(url, "/v1/logs/", 9) == 0) {
        answered++;
        return MHD_queue_response(connection, MHD_HTTP_CREATED, created);
    }
    if (strcmp(url, "/readyz") == 0) return MHD_queue_response(connection, MHD_HTTP_OK, ready);
    if (strcmp(url, "/v1/stats") == 0) return answer_stats(connection);
    return MHD_queue_response(connection, MHD_HTTP_NOT_FOUND, unknown);
}

/// Called once with the headers, for each piece of the body, and at its end; only the last call answers.
static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *body, size_t *body_bytes, void **request) {
    (void)context, (void)version, (void)body;
    if (!*request) {
        *request = &answered; // any address but NULL: the headers have been seen
        return MHD_YES;
    }
    if (*body_bytes) {
        *body_bytes = 0;
        return MHD_YES;
    }
    return answer(connection, url, method);
}

/// A listening socket on the loopback address `text`; its port is stored in `port`.
static int listen_on(const char *text, unsigned *port) {
    char host[] = "127.0.0.1:";
    if (strncmp(text, host, strlen(host)) != 0) {
        fprintf(stderr, "responder: --listen takes 127.0.0.1:PORT, not '%s'\n", text);
        exit(2);
    }
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(text + strlen(host))),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof address;
    int on = 1, descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail("socket");
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // accepted sockets inherit it
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) < 0) fail(text);
    if (listen(descriptor, 1024) < 0) fail("listen");
    if (getsockname(descriptor, (struct sockaddr *)&address, &address_bytes) < 0) fail("getsockname");
    *port = ntohs(address.sin_port);
    return descriptor;
}

static void run_until_stopped(struct MHD_Daemon *daemon) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!info) fail("libmicrohttpd has no epoll descriptor");
    struct pollfd ready_sockets = {.fd = info->epoll_fd, .events = POLLIN};
    while (!stopping) {
        MHD_UNSIGNED_LONG_LONG wait;
        MHD_run(daemon);
        // Work left over from a full round (128 ready sockets) shows only here: epoll would sleep on it.
        if (MHD_get_timeout(daemon, &wait) == MHD_YES && wait == 0) continue;
        if (poll(&ready_sockets, 1, tick_milliseconds) < 0 && errno != EINTR) fail("poll");
    }
}

int main(int argc, char **argv) {
    const char *address = NULL;
    int i = argc > 1 && strcmp(argv[1], "serve") == 0 ? 2 : 1;
    for (; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--listen") == 0) address = argv[i + 1];
        else if (strcmp(argv[i], "--data-dir") != 0) break;
    }
    if (!address || i != argc) {
        fprintf(stderr, "usage: responder [serve] --listen 127.0.0.1:PORT [--data-dir IGNORED]\n");
        return 2;
    }
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    signal(SIGPIPE, SIG_IGN);

    created = response_of(created_body, "application/json");
    MHD_add_response_header(created, "Location", created_location);
    ready = response_of("{\"status\":\"ready\"}", "application/json");
    unknown = response_of("{\"status\":404}", "application/problem+json");

    unsigned port = 0;
    int descriptor = listen_on(address, &port);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, handle, NULL, MHD_OPTION_LISTEN_SOCKET, descriptor,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)connection_memory_bytes, MHD_OPTION_END);
    if (!daemon) fail("libmicrohttpd did not start");
    fprintf(stderr, "responder listening=127.0.0.1:%u\n", port);
    run_until_stopped(daemon);
    MHD_stop_daemon(daemon);
    return 0;
}
