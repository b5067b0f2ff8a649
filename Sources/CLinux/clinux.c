#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/sockios.h>
#include <linux/stat.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

int clinux_open_direct_flag(void) { return O_DIRECT; }

int64_t clinux_file_system_type(const char *path) {
  struct statfs status;
  if (statfs(path, &status) != 0) return -errno;
  return (int64_t)(uint32_t)status.f_type;
}

int64_t clinux_direct_io_alignment(int descriptor) {
  // The raw call: glibc 2.36 knows statx but not the fields of STATX_DIOALIGN, the kernel's header does.
  struct statx status = {0};
  if (syscall(SYS_statx, descriptor, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) != 0) return -errno;
  if ((status.stx_mask & STATX_DIOALIGN) == 0) return 0;
  uint32_t memory = status.stx_dio_mem_align, offset = status.stx_dio_offset_align;
  return memory > offset ? memory : offset;
}

ssize_t clinux_write_data_sync(int descriptor, const void *bytes, size_t count, off_t offset) {
  struct iovec vector = {.iov_base = (void *)bytes, .iov_len = count};
  ssize_t written;
  do {
    written = pwritev2(descriptor, &vector, 1, offset, RWF_DSYNC);
  } while (written < 0 && errno == EINTR);
  return written < 0 ? -errno : written;
}

int clinux_eventfd(void) {
  int descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return descriptor < 0 ? -errno : descriptor;
}

uint64_t clinux_memlock_bytes_max(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return UINT64_MAX;
  return limit.rlim_cur;
}

uint64_t clinux_raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

void clinux_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

void clinux_trim_heap(void) { malloc_trim(0); }

uint64_t clinux_process_cpu_microseconds(void) {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  uint64_t seconds = (uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec;
  return seconds * 1000000 + (uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec;
}

int clinux_epoll_open(void) {
  int descriptor = epoll_create1(EPOLL_CLOEXEC);
  return descriptor < 0 ? -errno : descriptor;
}

int clinux_epoll_add(int epoll, int descriptor) {
  struct epoll_event event = {.events = EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = descriptor};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : -errno;
}

void clinux_epoll_remove(int epoll, int descriptor) { epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, NULL); }

int clinux_epoll_take(int epoll, clinux_socket_event *events, int count) {
  struct epoll_event taken[256];
  int taken_count = epoll_wait(epoll, taken, count < 256 ? count : 256, 0);
  for (int index = 0; index < taken_count; index++) {
    uint32_t flags = taken[index].events;
    events[index] = (clinux_socket_event){
        .descriptor = taken[index].data.fd,
        .is_writable = (flags & EPOLLOUT) != 0,
        .is_half_closed = (flags & EPOLLRDHUP) != 0,
        .is_over = (flags & (EPOLLERR | EPOLLHUP)) != 0,
    };
  }
  return taken_count < 0 ? 0 : taken_count;
}

int clinux_unsent_bytes(int descriptor) {
  int bytes = 0;
  return ioctl(descriptor, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

int clinux_futex_wait(const void *word, uint32_t expected, int64_t timeout_microseconds) {
  struct timespec timeout = {
      .tv_sec = timeout_microseconds / 1000000,
      .tv_nsec = timeout_microseconds % 1000000 * 1000,
  };
  const struct timespec *limit = timeout_microseconds < 0 ? NULL : &timeout;
  if (syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, limit, NULL, 0) == 0) return 0;
  return errno == EAGAIN ? 0 : -errno;
}

void clinux_futex_wake_all(const void *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
