/* Records what a process does to the files of one folder, in order, for tests of power loss.
 *
 * Loaded with LD_PRELOAD. Every successful write, truncate, sync, creation and removal below
 * the folder POWER_FOLDER is appended to the file POWER_LOG, whole and before the caller goes
 * on, so that a disk can be rebuilt as it would be after a power failure between any two.
 *
 * A record is: kind (1 byte), file number (4), offset (8), length (4), then `length` bytes:
 * the data of a write, the name of a creation or removal. Numbers are little endian.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 4096

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char folder[4096];
static size_t folder_length;
static int log_fd = -1;
/* For each descriptor: the number of its file plus one, 0 when it is of no concern. */
static uint32_t number_of[FILES_MAX];
static char *names[FILES_MAX];
static uint32_t names_count;

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);
static int (*real_close)(int);

__attribute__((constructor)) static void begin(void) {
    real_open = dlsym(RTLD_NEXT, "open");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_close = dlsym(RTLD_NEXT, "close");
    const char *wanted = getenv("POWER_FOLDER"), *log = getenv("POWER_LOG");
    if (wanted == NULL || log == NULL || realpath(wanted, folder) == NULL) return;
    folder_length = strlen(folder);
    log_fd = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void put(char kind, uint32_t file, uint64_t offset, const void *data, uint32_t length) {
    char head[17];
    head[0] = kind;
    memcpy(head + 1, &file, 4);
    memcpy(head + 5, &offset, 8);
    memcpy(head + 13, &length, 4);
    if (real_write(log_fd, head, sizeof head) != (ssize_t)sizeof head) abort();
    if (length > 0 && real_write(log_fd, data, length) != (ssize_t)length) abort();
}

/* Returns the name below the folder, "" for the folder itself, NULL for anything else. */
static const char *name_below(const char *path, char *space) {
    if (log_fd < 0 || realpath(path, space) == NULL) return NULL;
    if (strncmp(space, folder, folder_length) != 0) return NULL;
    if (space[folder_length] == '\0') return "";
    return space[folder_length] == '/' ? space + folder_length + 1 : NULL;
}

static uint32_t number_for(const char *name) {
    for (uint32_t i = 0; i < names_count; i++)
        if (strcmp(names[i], name) == 0) return i;
    if (names_count == FILES_MAX) abort();
    names[names_count] = strdup(name);
    return names_count++;
}

static int opened(int fd, const char *path, int existed) {
    char space[8192];
    if (fd < 0 || fd >= FILES_MAX) return fd;
    pthread_mutex_lock(&lock);
    const char *name = name_below(path, space);
    number_of[fd] = 0;
    if (name != NULL) {
        uint32_t number = number_for(name);
        number_of[fd] = number + 1;
        put(existed ? 'o' : 'c', number, 0, name, (uint32_t)strlen(name));
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

static int open_any(const char *path, int flags, mode_t mode) {
    struct stat found;
    int existed = stat(path, &found) == 0;
    int fd = opened(real_open(path, flags, mode), path, existed);
    if (fd >= 0 && (flags & O_TRUNC) && fd < FILES_MAX && number_of[fd]) {
        pthread_mutex_lock(&lock);
        put('t', number_of[fd] - 1, 0, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    return fd;
}

#define MODE_OF(flags)                              \
    mode_t mode = 0;                                \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {        \
        va_list rest;                               \
        va_start(rest, flags);                      \
        mode = va_arg(rest, mode_t);                \
        va_end(rest);                               \
    }

int open(const char *path, int flags, ...) {
    MODE_OF(flags)
    return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE_OF(flags)
    return open_any(path, flags, mode);
}

static int is_ours(int fd) { return log_fd >= 0 && fd >= 0 && fd < FILES_MAX && number_of[fd]; }

ssize_t write(int fd, const void *data, size_t count) {
    if (!is_ours(fd)) return real_write(fd, data, count);
    pthread_mutex_lock(&lock);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = real_write(fd, data, count);
    if (done > 0) put('w', number_of[fd] - 1, (uint64_t)at, data, (uint32_t)done);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t at) {
    if (!is_ours(fd)) return real_pwrite(fd, data, count, at);
    pthread_mutex_lock(&lock);
    ssize_t done = real_pwrite(fd, data, count, at);
    if (done > 0) put('w', number_of[fd] - 1, (uint64_t)at, data, (uint32_t)done);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t at) {
    return pwrite(fd, data, count, at);
}

int ftruncate(int fd, off_t length) {
    if (!is_ours(fd)) return real_ftruncate(fd, length);
    pthread_mutex_lock(&lock);
    int done = real_ftruncate(fd, length);
    if (done == 0) put('t', number_of[fd] - 1, (uint64_t)length, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

static int synced(int fd, int (*sync)(int)) {
    if (!is_ours(fd)) return sync(fd);
    pthread_mutex_lock(&lock);
    int done = sync(fd);
    if (done == 0) put('s', number_of[fd] - 1, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int fd) { return synced(fd, real_fsync); }

int fdatasync(int fd) { return synced(fd, real_fdatasync); }

int unlink(const char *path) {
    char space[8192];
    pthread_mutex_lock(&lock);
    const char *name = name_below(path, space);
    int done = real_unlink(path);
    if (done == 0 && name != NULL) put('u', number_for(name), 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int rename(const char *from, const char *to) {
    char space[8192], other[8192];
    pthread_mutex_lock(&lock);
    const char *name = name_below(from, space);
    int done = real_rename(from, to);
    if (done == 0 && name != NULL) {
        const char *target = name_below(to, other);
        if (target == NULL) abort(); /* It left the folder: no test can follow it. */
        put('r', number_for(name), 0, target, (uint32_t)strlen(target));
    }
    pthread_mutex_unlock(&lock);
    return done;
}

int close(int fd) {
    if (is_ours(fd)) number_of[fd] = 0;
    return real_close(fd);
}
