/* A disk that remembers everything and fails on command: a FUSE file system with the one file `disk`.
 *
 *     fusedisk MOUNTPOINT IMAGE CONTROL [LOG]
 *
 * IMAGE holds the contents and gives the size. CONTROL is the path of the Unix socket (SOCK_SEQPACKET) for commands and marks.
 * LOG receives every write (with its data), every flush, every mark and every command in one order (struct event).
 * A write is in the log as begun before it changes the image, and as ended before it is answered; a flush likewise. So
 * whatever ended before a flush began may be counted on once that flush has ended, and nothing else may.
 *
 * It stays in the foreground and writes "ready" to standard output once it is mounted. It ends by an unmount, by SIGTERM or
 * SIGINT, or when its standard input ends, which happens when whoever started it is gone: then it detaches the mount, and
 * the kernel fails whatever still waits, held operations too.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fusedisk.h"

enum { DISK_INODE = 2, LARGEST_TRANSFER_BYTES = 1 << 20 };
#define FOR_EVER 1e9

static int image;
static off_t image_bytes;
static const char *mount_point;

static void describe(fuse_ino_t inode, struct stat *attributes) {
    memset(attributes, 0, sizeof *attributes);
    attributes->st_ino = inode;
    attributes->st_mode = inode == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0600;
    attributes->st_nlink = 1;
    attributes->st_size = inode == FUSE_ROOT_ID ? 0 : image_bytes;
}

static void on_init(void *context, struct fuse_conn_info *connection) {
    (void)context;
    connection->max_write = LARGEST_TRANSFER_BYTES;
    /* Many writes are held at a time while the disk stalls; the kernel must not count them as its own congestion. */
    connection->max_background = 256;
    connection->congestion_threshold = 256;
}

static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name) {
    if (parent != FUSE_ROOT_ID || strcmp(name, "disk") != 0) {
        fuse_reply_err(request, ENOENT);
        return;
    }
    struct fuse_entry_param entry = {.ino = DISK_INODE, .attr_timeout = FOR_EVER, .entry_timeout = FOR_EVER};
    describe(DISK_INODE, &entry.attr);
    fuse_reply_entry(request, &entry);
}

static void on_getattr(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file) {
    (void)file;
    struct stat attributes;
    describe(inode, &attributes);
    fuse_reply_attr(request, &attributes, FOR_EVER);
}

static void on_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *file) {
    if (inode != DISK_INODE) {
        fuse_reply_err(request, EISDIR);
        return;
    }
    file->direct_io = 1;
    fuse_reply_open(request, file);
}

static void on_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, struct fuse_file_info *file) {
    (void)inode, (void)file;
    int error = faults_apply(OPERATION_READ);
    char *bytes = error == 0 ? malloc(size) : NULL;
    ssize_t count = bytes == NULL ? -1 : pread(image, bytes, size, offset);
    if (count >= 0)
        fuse_reply_buf(request, bytes, (size_t)count);
    else
        fuse_reply_err(request, error != 0 ? error : EIO);
    free(bytes);
}

static void on_write(
    fuse_req_t request, fuse_ino_t inode, const char *bytes, size_t size, off_t offset, struct fuse_file_info *file) {
    (void)inode, (void)file;
    if (offset < 0 || offset + (off_t)size > image_bytes) {
        fuse_reply_err(request, ENOSPC);
        return;
    }
    uint64_t operation = eventlog_add(EVENT_WRITE_BEGIN, 0, 0, (uint64_t)offset, bytes, size);
    int error = faults_apply(OPERATION_WRITE);
    if (error == 0 && pwrite(image, bytes, size, offset) != (ssize_t)size) error = EIO;
    if (error == 0) faults_count_bytes(size);
    eventlog_add(EVENT_WRITE_END, operation, error, 0, NULL, 0);
    if (error == 0)
        fuse_reply_write(request, size);
    else
        fuse_reply_err(request, error);
}

static void on_fsync(fuse_req_t request, fuse_ino_t inode, int data_only, struct fuse_file_info *file) {
    (void)inode, (void)data_only, (void)file;
    uint64_t operation = eventlog_add(EVENT_FLUSH_BEGIN, 0, 0, 0, NULL, 0);
    int error = faults_apply(OPERATION_FLUSH);
    eventlog_add(EVENT_FLUSH_END, operation, error, 0, NULL, 0);
    fuse_reply_err(request, error);
}

static const struct fuse_lowlevel_ops operations = {
    .init = on_init,
    .lookup = on_lookup,
    .getattr = on_getattr,
    .open = on_open,
    .read = on_read,
    .write = on_write,
    .fsync = on_fsync,
};

static int open_parts(const char *image_path, const char *control_path, const char *log_path) {
    struct stat attributes;
    image = open(image_path, O_RDWR | O_CLOEXEC);
    if (image < 0 || fstat(image, &attributes) != 0) {
        perror(image_path);
        return -1;
    }
    image_bytes = attributes.st_size;
    int error = eventlog_open(log_path);
    if (error == 0) error = control_start(control_path);
    if (error != 0) {
        fprintf(stderr, "fusedisk: log or control socket: %s\n", strerror(error));
        return -1;
    }
    return 0;
}

/* Also a signal handler: nothing but system calls. */
static void end(int signal_number) {
    (void)signal_number;
    umount2(mount_point, MNT_DETACH);
    _exit(0);
}

static void *await_end_of_input(void *unused) {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    end(0);
    return unused;
}

static int serve(struct fuse_session *session) {
    pthread_t thread;
    if (fuse_session_mount(session, mount_point) != 0) return -1;
    signal(SIGTERM, end);
    signal(SIGINT, end);
    if (pthread_create(&thread, NULL, await_end_of_input, NULL) != 0) return -1;
    puts("ready");
    fflush(stdout);
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    /* A held write holds a thread: enough of them that flushes, reads and marks go on beside it. */
    fuse_loop_cfg_set_max_threads(config, 300);
    fuse_loop_cfg_set_idle_threads(config, 16);
    int status = fuse_session_loop_mt(session, config);
    fuse_loop_cfg_destroy(config);
    fuse_session_unmount(session);
    return status < 0 ? -1 : 0;
}

int main(int count, char **arguments) {
    if (count < 4 || count > 5) {
        fprintf(stderr, "usage: fusedisk MOUNTPOINT IMAGE CONTROL [LOG]\n");
        return 2;
    }
    if (open_parts(arguments[2], arguments[3], count == 5 ? arguments[4] : NULL) != 0) return 1;
    char *fuse_arguments[] = {arguments[0], "-o", "fsname=fusedisk"};
    struct fuse_args parsed = FUSE_ARGS_INIT(3, fuse_arguments);
    struct fuse_session *session = fuse_session_new(&parsed, &operations, sizeof operations, NULL);
    if (session == NULL) return 1;
    mount_point = arguments[1];
    int status = serve(session);
    fuse_session_destroy(session);
    return status == 0 ? 0 : 1;
}
