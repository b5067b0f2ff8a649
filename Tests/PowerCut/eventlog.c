#include "fusedisk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int descriptor = -1;
static uint64_t last_operation;

int eventlog_open(const char *path) {
    if (path == NULL) return 0;
    descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    return descriptor < 0 ? errno : 0;
}

static uint64_t now_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t eventlog_add(enum event_kind kind, uint64_t operation, int error, uint64_t offset, const void *payload, size_t length) {
    pthread_mutex_lock(&mutex);
    if (kind == EVENT_WRITE_BEGIN || kind == EVENT_FLUSH_BEGIN) operation = ++last_operation;
    if (descriptor >= 0) {
        struct event event = {
            .kind = kind,
            .error = error,
            .operation = operation,
            .offset = offset,
            .nanoseconds = now_nanoseconds(),
            .length = (uint32_t)length,
        };
        struct iovec parts[2] = {{&event, sizeof event}, {(void *)payload, length}};
        if (writev(descriptor, parts, 2) != (ssize_t)(sizeof event + length)) {
            /* A log with a hole proves nothing: the disk ends, and whoever used it sees that. */
            perror("fusedisk: the event log cannot be written");
            abort();
        }
    }
    pthread_mutex_unlock(&mutex);
    return operation;
}
