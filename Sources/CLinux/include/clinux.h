// Linux calls and constants that Swift's Glibc module hides because it is built without _GNU_SOURCE.
// Each is one call of the kernel's or the C library's own; nothing is decided here.
// Every function that can fail returns a negative errno, so that no caller reads errno late.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// open(2) flag for direct I/O: its value differs between architectures.
int clinux_open_direct_flag(void);

/// statfs(2): the file system's magic number, or a negative errno.
int64_t clinux_file_system_type(const char *path);

/// statx(2) with STATX_DIOALIGN: the alignment that direct I/O needs in bytes, 0 where it is not told, or a negative errno.
int64_t clinux_direct_io_alignment(int descriptor);

/// pwritev2(2) with RWF_DSYNC: bytes written and synced, or a negative errno. Repeats on EINTR.
ssize_t clinux_write_data_sync(int descriptor, const void *bytes, size_t count, off_t offset);

/// eventfd(2), close-on-exec and non-blocking: the descriptor or a negative errno.
int clinux_eventfd(void);

/// getrlimit(2) RLIMIT_MEMLOCK: the soft limit in bytes, UINT64_MAX for none.
uint64_t clinux_memlock_bytes_max(void);

/// getrlimit(2) RLIMIT_NOFILE: the soft limit after it was raised to the hard one.
uint64_t clinux_raise_descriptor_limit(void);

/// pthread_setname_np(3) for the calling thread; at most 15 bytes.
void clinux_name_thread(const char *name);

/// malloc_trim(3): gives whole free pages of the heap back to the kernel.
void clinux_trim_heap(void);

/// CPU time of this process in microseconds (user and system).
uint64_t clinux_process_cpu_microseconds(void);

// MARK: epoll(7), for sockets that are written to at any time

/// What became of a watched socket.
typedef struct {
  int descriptor;
  /// It takes bytes again.
  int is_writable;
  /// The peer will send no more; it may still read.
  int is_half_closed;
  /// Both directions have ended, or the connection was reset.
  int is_over;
} clinux_socket_event;

/// epoll_create1(2), close-on-exec: the descriptor or a negative errno.
int clinux_epoll_open(void);

/// Reports each change of the socket once (edges): writable, half-closed, over. 0 or a negative errno.
int clinux_epoll_add(int epoll, int descriptor);

/// Ends that.
void clinux_epoll_remove(int epoll, int descriptor);

/// Takes up to `count` (at most 256) changes without waiting: how many there were.
int clinux_epoll_take(int epoll, clinux_socket_event *events, int count);

/// ioctl(2) SIOCOUTQ: bytes that the peer has not acknowledged.
int clinux_unsent_bytes(int descriptor);

// MARK: futex(2), for waiting until a number has changed

/// Waits while the number at `word` is `expected`, until it is woken or the time is over (negative: no limit). 0 when it was
/// woken or the number was another one, else a negative errno (-ETIMEDOUT; -EINTR where a signal came).
int clinux_futex_wait(const void *word, uint32_t expected, int64_t timeout_microseconds);

/// Wakes everybody who waits at `word`.
void clinux_futex_wake_all(const void *word);
