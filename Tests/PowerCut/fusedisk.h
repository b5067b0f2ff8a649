/* Parts of fusedisk: the ordered event log, the faults, and the control socket. See fusedisk.c. */
#ifndef FUSEDISK_H
#define FUSEDISK_H

#include <stddef.h>
#include <stdint.h>

/* ---- eventlog.c: everything that happened, in one order ---- */

enum event_kind { EVENT_WRITE_BEGIN = 1, EVENT_WRITE_END, EVENT_FLUSH_BEGIN, EVENT_FLUSH_END, EVENT_MARK, EVENT_COMMAND };

/* One event as it stands in the log file, little-endian; `length` payload bytes follow it. disk.py reads it as <IiQQQII. */
struct event {
    uint32_t kind;
    int32_t error;      /* of an end: 0 or an errno */
    uint64_t operation; /* joins a begin with its end */
    uint64_t offset;
    uint64_t nanoseconds;
    uint32_t length;
    uint32_t reserved;
};

/* Opens the log file; NULL keeps no log. Gives 0 or an errno. */
int eventlog_open(const char *path);

/* Appends an event. The order of the calls is the order of the log. A begin takes a new operation number and gives it. */
uint64_t eventlog_add(enum event_kind kind, uint64_t operation, int error, uint64_t offset, const void *payload, size_t length);

/* ---- faults.c: what the disk does wrong, changed at run time ---- */

enum operation { OPERATION_READ, OPERATION_WRITE, OPERATION_FLUSH, OPERATION_COUNT };

/* Called once an operation has begun: waits as long as latency and stall say, then gives 0 or the errno to answer with. */
int faults_apply(enum operation operation);

void faults_count_bytes(size_t bytes);
void faults_count_mark(void);

/* Carries out one command line and writes the answer, "ok ..." or "error ...". */
void faults_command(const char *line, char *answer, size_t answer_bytes);

/* ---- control.c: a Unix socket of packets ---- */

/* Listens at `path` and serves every connection on a thread of its own. Gives 0 or an errno. */
int control_start(const char *path);

#endif
