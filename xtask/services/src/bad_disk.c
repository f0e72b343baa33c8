/* Makes the disk of a program fail, while files in the directory that NEXUS_BAD_DISK names say so: each has a number, and one call in so many
 * fails. "sync": fsync and fdatasync fail with EIO. "full": writes that would make a file longer fail with ENOSPC. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* One in how many fails; 0 for none. */
static long one_in(const char *name) {
    const char *directory = getenv("NEXUS_BAD_DISK");
    if (!directory) return 0;
    char path[4096], text[16];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) return 0;
    text[length] = 0;
    return atol(text);
}

static int strikes(const char *name) {
    static _Thread_local uint64_t state;
    int before = errno;
    long number = one_in(name);
    errno = before;
    if (number <= 0) return 0;
    if (!state) state = ((uint64_t)getpid() << 32) ^ (uint64_t)(uintptr_t)&state ^ 0x9e3779b97f4a7c15u;
    /* xorshift64: Marsaglia, "Xorshift RNGs", 2003. */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % (uint64_t)number == 0;
}

static int has_no_room(int file, off_t end) {
    struct stat found;
    if (fstat(file, &found) || !S_ISREG(found.st_mode) || end <= found.st_size) return 0;
    return strikes("full");
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(number) do { errno = number; return -1; } while (0)

int fsync(int file) {
    if (strikes("sync")) FAIL(EIO);
    return REAL(fsync)(file);
}

int fdatasync(int file) {
    if (strikes("sync")) FAIL(EIO);
    return REAL(fdatasync)(file);
}

ssize_t pwrite(int file, const void *from, size_t length, off_t at) {
    if (has_no_room(file, at + (off_t)length)) FAIL(ENOSPC);
    return REAL(pwrite)(file, from, length, at);
}

ssize_t pwrite64(int file, const void *from, size_t length, off64_t at) {
    if (has_no_room(file, at + (off_t)length)) FAIL(ENOSPC);
    return REAL(pwrite64)(file, from, length, at);
}

static off_t length_of(const struct iovec *parts, int count) {
    off_t length = 0;
    for (int number = 0; number < count; number++) length += (off_t)parts[number].iov_len;
    return length;
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at) {
    if (has_no_room(file, at + length_of(parts, count))) FAIL(ENOSPC);
    return REAL(pwritev)(file, parts, count, at);
}

ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t at) {
    if (has_no_room(file, at + length_of(parts, count))) FAIL(ENOSPC);
    return REAL(pwritev64)(file, parts, count, at);
}

int posix_fallocate(int file, off_t at, off_t length) {
    /* It answers what is wrong, and leaves errno alone. */
    if (has_no_room(file, at + length)) return ENOSPC;
    return REAL(posix_fallocate)(file, at, length);
}

int posix_fallocate64(int file, off64_t at, off64_t length) {
    if (has_no_room(file, at + length)) return ENOSPC;
    return REAL(posix_fallocate64)(file, at, length);
}
