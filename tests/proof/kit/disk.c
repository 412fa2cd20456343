/* A disk that loses power, or fails. Preloaded into the program by the tests.
 *
 * DISK_FOLDER: the run folder. Everything else is left alone.
 * DISK_SHADOW: where to keep what is durable: for each file that was synced, its content at that
 *   moment, under its inode number; for each directory that was synced, its names and inodes. What
 *   was written, created, renamed or removed since then is lost with the power.
 * DISK_FAILS_AT, DISK_ERROR: the N-th write or sync of a file in the folder fails with this errno,
 *   and so does every later one.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static long seen;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

/* Whether fd is a file or directory in the folder, or the folder's parent; its path. */
static int ours(int fd, char *path) {
    const char *folder = getenv("DISK_FOLDER");
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (!folder || length < 0) return 0;
    path[length] = 0;
    size_t most = strlen(folder);
    return strncmp(path, folder, most) == 0 && (path[most] == '/' || path[most] == 0);
}

static int fails(int fd) {
    char path[PATH_MAX];
    const char *at = getenv("DISK_FAILS_AT");
    if (!at || !ours(fd, path) || strstr(path, "-shm")) return 0;
    pthread_mutex_lock(&turn);
    int failing = ++seen >= atol(at);
    pthread_mutex_unlock(&turn);
    if (failing) errno = atoi(getenv("DISK_ERROR"));
    return failing;
}

static void keep(const char *name, const char *content, size_t size) {
    ssize_t (*put)(int, const void *, size_t) = real("write");
    char whole[PATH_MAX], part[PATH_MAX + 8];
    snprintf(whole, sizeof whole, "%s/%s", getenv("DISK_SHADOW"), name);
    snprintf(part, sizeof part, "%s.part", whole);
    int to = open(part, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    for (size_t done = 0; done < size;) {
        ssize_t written = put(to, content + done, size - done);
        if (written <= 0) abort();
        done += written;
    }
    close(to);
    if (rename(part, whole)) abort();
}

static void keep_file(int fd, const struct stat *facts) {
    char name[32];
    size_t size = facts->st_size;
    char *content = malloc(size + 1);
    snprintf(name, sizeof name, "%lu", (unsigned long)facts->st_ino);
    if (pread(fd, content, size, 0) == (ssize_t)size) {
        keep(name, content, size);
    } else { /* opened for writing only */
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        int again = open(link, O_RDONLY);
        if (again < 0 || pread(again, content, size, 0) != (ssize_t)size) abort();
        close(again);
        keep(name, content, size);
    }
    free(content);
}

static void keep_directory(const char *path) {
    char *list = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&list, &size);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        fprintf(out, "%lu %s\n", (unsigned long)entry->d_ino, entry->d_name);
    if (directory) closedir(directory);
    fclose(out);
    keep("names", list, size);
    free(list);
}

static void synced(int fd) {
    char path[PATH_MAX];
    struct stat facts;
    if (!getenv("DISK_SHADOW") || !ours(fd, path) || fstat(fd, &facts)) return;
    int before = errno;
    pthread_mutex_lock(&turn);
    if (S_ISDIR(facts.st_mode)) keep_directory(path);
    else keep_file(fd, &facts);
    pthread_mutex_unlock(&turn);
    errno = before;
}

#define SYNC(name)                                  \
    int name(int fd) {                              \
        int (*sync_)(int) = real(#name);            \
        if (fails(fd)) return -1;                   \
        int result = sync_(fd);                     \
        if (result == 0) synced(fd);                \
        return result;                              \
    }
SYNC(fsync)
SYNC(fdatasync)

#define WRITE_AT(name)                                                          \
    ssize_t name(int fd, const void *from, size_t size, off_t at) {             \
        ssize_t (*write_)(int, const void *, size_t, off_t) = real(#name);      \
        return fails(fd) ? -1 : write_(fd, from, size, at);                     \
    }
WRITE_AT(pwrite)
WRITE_AT(pwrite64)

ssize_t write(int fd, const void *from, size_t size) {
    ssize_t (*write_)(int, const void *, size_t) = real("write");
    return fails(fd) ? -1 : write_(fd, from, size);
}
