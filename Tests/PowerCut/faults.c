#include "fusedisk.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* What one kind of operation does wrong. */
struct rule {
    int error;                /* 0: none */
    uint64_t fail_from;       /* the operations of these numbers fail, counted from 1 since the start; both inclusive */
    uint64_t fail_through;
    uint64_t slow_every;      /* 0: never */
    uint64_t slow_microseconds;
    unsigned tail_permille;
    uint64_t tail_microseconds;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static struct rule rules[OPERATION_COUNT];
static uint64_t begun[OPERATION_COUNT], failed[OPERATION_COUNT];
static uint64_t held, bytes_written, marks;
static bool stalled;
static uint64_t random_state = 0x9e3779b97f4a7c15u;

/* xorshift64; called with the mutex held. */
static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void sleep_microseconds(uint64_t microseconds) {
    struct timespec left = {(time_t)(microseconds / 1000000), (long)(microseconds % 1000000) * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

int faults_apply(enum operation operation) {
    pthread_mutex_lock(&mutex);
    struct rule *rule = &rules[operation];
    uint64_t number = ++begun[operation], delay = 0;
    int error = 0;
    if (rule->error != 0 && number >= rule->fail_from && number <= rule->fail_through) {
        error = rule->error;
        failed[operation]++;
    }
    if (rule->slow_every != 0 && number % rule->slow_every == 0) delay += rule->slow_microseconds;
    if (rule->tail_permille != 0 && next_random() % 1000 < rule->tail_permille) delay += rule->tail_microseconds;
    if (operation != OPERATION_READ) {
        held++;
        while (stalled) pthread_cond_wait(&released, &mutex);
        held--;
    }
    pthread_mutex_unlock(&mutex);
    if (delay != 0) sleep_microseconds(delay);
    return error;
}

void faults_count_bytes(size_t bytes) {
    pthread_mutex_lock(&mutex);
    bytes_written += bytes;
    pthread_mutex_unlock(&mutex);
}

void faults_count_mark(void) {
    pthread_mutex_lock(&mutex);
    marks++;
    pthread_mutex_unlock(&mutex);
}

/* The operations that a command names, as bits; 0 if there is no such name. */
static unsigned named_operations(const char *name) {
    if (strcmp(name, "read") == 0) return 1u << OPERATION_READ;
    if (strcmp(name, "write") == 0) return 1u << OPERATION_WRITE;
    if (strcmp(name, "flush") == 0) return 1u << OPERATION_FLUSH;
    if (strcmp(name, "both") == 0) return 1u << OPERATION_WRITE | 1u << OPERATION_FLUSH;
    return 0;
}

/* "next N" (the next N), "nth N" (only the Nth from now), "all". */
static bool fail(unsigned operations, int error, const char *which, uint64_t count) {
    bool next = strcmp(which, "next") == 0, nth = strcmp(which, "nth") == 0;
    if (!(next || nth || strcmp(which, "all") == 0) || ((next || nth) && count == 0)) return false;
    for (int operation = 0; operation < OPERATION_COUNT; operation++) {
        if ((operations & 1u << operation) == 0) continue;
        struct rule *rule = &rules[operation];
        rule->error = error;
        rule->fail_from = begun[operation] + (nth ? count : 1);
        rule->fail_through = next || nth ? begun[operation] + count : UINT64_MAX;
    }
    return true;
}

static bool slow(unsigned operations, const char *arguments) {
    unsigned long every, microseconds, tail_microseconds;
    unsigned permille;
    if (sscanf(arguments, "%lu %lu %u %lu", &every, &microseconds, &permille, &tail_microseconds) != 4) return false;
    for (int operation = 0; operation < OPERATION_COUNT; operation++) {
        if ((operations & 1u << operation) == 0) continue;
        struct rule *rule = &rules[operation];
        rule->slow_every = every;
        rule->slow_microseconds = microseconds;
        rule->tail_permille = permille;
        rule->tail_microseconds = tail_microseconds;
    }
    return true;
}

static void set_stalled(bool value) {
    stalled = value;
    pthread_cond_broadcast(&released);
}

/* Called with the mutex held. False: no such command. */
static bool carry_out(const char *line) {
    char word[16] = "", name[16] = "", which[16] = "";
    unsigned long number = 0;
    int arguments = 0;
    if (sscanf(line, "%15s %15s %n%15s %lu", word, name, &arguments, which, &number) < 1) return false;
    unsigned operations = named_operations(name);
    if (strcmp(word, "eio") == 0 && operations != 0) return fail(operations, EIO, which, number);
    if (strcmp(word, "enospc") == 0 && operations != 0) return fail(operations, ENOSPC, which, number);
    if (strcmp(word, "latency") == 0 && operations != 0) return slow(operations, line + arguments);
    if (strcmp(word, "seed") == 0) return sscanf(name, "%lu", &random_state) == 1 && random_state != 0;
    if (strcmp(word, "stall") == 0) return set_stalled(true), true;
    if (strcmp(word, "go") == 0) return set_stalled(false), true;
    if (strcmp(word, "clear") == 0) {
        memset(rules, 0, sizeof rules);
        return set_stalled(false), true;
    }
    return strcmp(word, "statistics") == 0;
}

void faults_command(const char *line, char *answer, size_t answer_bytes) {
    pthread_mutex_lock(&mutex);
    if (carry_out(line)) {
        snprintf(
            answer, answer_bytes,
            "ok reads=%lu writes=%lu flushes=%lu failed_reads=%lu failed_writes=%lu failed_flushes=%lu held=%lu bytes=%lu marks=%lu",
            begun[OPERATION_READ], begun[OPERATION_WRITE], begun[OPERATION_FLUSH], failed[OPERATION_READ],
            failed[OPERATION_WRITE], failed[OPERATION_FLUSH], held, bytes_written, marks);
    } else {
        snprintf(answer, answer_bytes, "error no such command: %s", line);
    }
    pthread_mutex_unlock(&mutex);
}
