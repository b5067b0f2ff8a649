// Times of single operations, and the percentiles that a benchmark prints of them.
#ifndef APPENDLOG_BENCH_SAMPLE_H
#define APPENDLOG_BENCH_SAMPLE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/// One benchmark never takes more samples than this (64 MiB of memory).
#define SAMPLE_COUNT_MAX (8u << 20)

/// Nanoseconds of the monotonic clock.
static inline uint64_t now_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline int sample_order(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/// Microseconds under which `percent` of the samples lie (nearest rank). `samples` is sorted.
static inline double percentile_microseconds(const uint64_t *samples, size_t count, double percent) {
    if (count == 0) return 0;
    size_t rank = (size_t)(percent / 100.0 * (double)count + 0.999999);
    if (rank < 1) rank = 1;
    if (rank > count) rank = count;
    return (double)samples[rank - 1] / 1000.0;
}

/// Sorts the samples and prints the members `"count"` to `"max_us"` of a JSON object, without its braces.
static inline void print_samples(uint64_t *samples, size_t count) {
    qsort(samples, count, sizeof *samples, sample_order);
    printf("\"count\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f", count,
           percentile_microseconds(samples, count, 50), percentile_microseconds(samples, count, 99),
           percentile_microseconds(samples, count, 100));
}

/// A decimal argument between two limits; ends the program with a sentence otherwise.
static inline uint64_t argument_between(const char *name, const char *text, uint64_t least, uint64_t most) {
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value < least || value > most) {
        fprintf(stderr, "%s must be a whole number from %llu to %llu, not '%s'\n", name, (unsigned long long)least,
                (unsigned long long)most, text);
        exit(2);
    }
    return value;
}

#endif
