/* accept4 */
#define _GNU_SOURCE
#include "fusedisk.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A packet that begins with 'M' is a mark: the rest goes into the log, and there is no answer.
 * Any other one is a command line, which is logged, carried out, and answered. One packet, one send: nothing interleaves. */
static void serve_packet(int connection, char *packet, size_t length) {
    if (packet[0] == 'M') {
        eventlog_add(EVENT_MARK, 0, 0, 0, packet + 1, length - 1);
        faults_count_mark();
        return;
    }
    char answer[512];
    packet[length] = 0;
    eventlog_add(EVENT_COMMAND, 0, 0, 0, packet, length);
    faults_command(packet, answer, sizeof answer);
    /* Whoever asked may have gone; that concerns nobody else. */
    (void)send(connection, answer, strlen(answer), MSG_NOSIGNAL);
}

static void *serve_connection(void *argument) {
    int connection = (int)(intptr_t)argument;
    char packet[4097];
    ssize_t length;
    while ((length = recv(connection, packet, sizeof packet - 1, 0)) > 0) serve_packet(connection, packet, (size_t)length);
    close(connection);
    return NULL;
}

static void start_thread(void *(*body)(void *), int descriptor) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, (void *)(intptr_t)descriptor) == 0)
        pthread_detach(thread);
    else
        close(descriptor);
}

static void *accept_connections(void *argument) {
    int listener = (int)(intptr_t)argument, connection;
    while ((connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) start_thread(serve_connection, connection);
    perror("fusedisk: the control socket accepts no more");
    return NULL;
}

int control_start(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (listener < 0) return errno;
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 64) != 0) {
        int error = errno;
        close(listener);
        return error;
    }
    start_thread(accept_connections, listener);
    return 0;
}
