/*
 * What programs expect of a file system, asked of the one that holds the directory given: one line for each check,
 * "ok NAME" or "bad NAME: why". Runs in a pod VM on a virtiofs share (filesystem.test.ts), as root in its container.
 * Every check begins in an empty directory of its own.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static char why[512];
static struct stat st;

#define NEED(condition)                                                                                     \
  do {                                                                                                      \
    errno = 0;                                                                                              \
    if (!(condition)) {                                                                                     \
      snprintf(why, sizeof(why), "line %d: %s (%s)", __LINE__, #condition, strerror(errno));                \
      return false;                                                                                         \
    }                                                                                                       \
  } while (0)
#define FAILS(call, number) NEED((call) < 0 && errno == (number))

static int make(const char *path, const char *text, mode_t mode) {
  int fd = open(path, O_CREAT | O_EXCL | O_RDWR, mode);
  if (fd >= 0 && write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
    close(fd);
    return -1;
  }
  return fd;
}

static bool touch(const char *path) {
  int fd = make(path, "", 0644);
  return fd >= 0 && close(fd) == 0;
}

static bool put(const char *path, const char *text) {
  int fd = make(path, text, 0644);
  return fd >= 0 && close(fd) == 0;
}

static bool holds(const char *path, const char *text) {
  char buffer[4096];
  int fd = open(path, O_RDONLY);
  if (fd < 0) return false;
  ssize_t size = read(fd, buffer, sizeof(buffer));
  close(fd);
  return size == (ssize_t)strlen(text) && memcmp(buffer, text, strlen(text)) == 0;
}

/* Runs `work` in a child as another user. @returns whether it said true. */
static bool as(uid_t uid, gid_t gid, bool (*work)(void)) {
  int pipes[2];
  if (pipe(pipes) < 0) return false;
  pid_t child = fork();
  if (child == 0) {
    bool fine = setgid(gid) == 0 && setuid(uid) == 0 && work();
    if (!fine && write(pipes[1], why, sizeof(why)) < 0) _exit(2);
    _exit(fine ? 0 : 1);
  }
  int status = 0;
  close(pipes[1]);
  bool fine = waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (!fine && read(pipes[0], why, sizeof(why)) < 0) snprintf(why, sizeof(why), "the other user failed");
  close(pipes[0]);
  return fine;
}

/* --- making, modes, owners ------------------------------------------------------------------------------------ */

static bool create_mode(void) { umask(0); int fd = make("f", "", 0640); NEED(fd >= 0); NEED(fstat(fd, &st) == 0); NEED((st.st_mode & 07777) == 0640); NEED(st.st_uid == 0 && st.st_gid == 0); close(fd); return true; }
static bool create_umask(void) { umask(027); int fd = make("f", "", 0777); umask(022); NEED(fstat(fd, &st) == 0); NEED((st.st_mode & 07777) == 0750); close(fd); return true; }
static bool create_exclusive(void) { NEED(touch("f")); FAILS(open("f", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST); return true; }
static bool create_exclusive_link(void) { NEED(symlink("nowhere", "l") == 0); FAILS(open("l", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST); return true; }
static bool create_through_link(void) { NEED(symlink("t", "l") == 0); int fd = open("l", O_CREAT | O_RDWR, 0644); NEED(fd >= 0); close(fd); NEED(stat("t", &st) == 0); return true; }
static bool create_missing_parent(void) { FAILS(open("no/f", O_CREAT | O_RDWR, 0644), ENOENT); return true; }
static bool create_under_file(void) { NEED(touch("f")); FAILS(open("f/g", O_CREAT | O_RDWR, 0644), ENOTDIR); return true; }
static bool name_longest(void) { char name[256]; memset(name, 'n', 255); name[255] = 0; NEED(touch(name)); NEED(unlink(name) == 0); return true; }
static bool name_too_long(void) { char name[257]; memset(name, 'n', 256); name[256] = 0; FAILS(open(name, O_CREAT | O_RDWR, 0644), ENAMETOOLONG); return true; }
static bool name_utf8(void) { NEED(put("gr\xc3\xbc\xc3\x9f \xe2\x9c\x93", "x")); NEED(holds("gr\xc3\xbc\xc3\x9f \xe2\x9c\x93", "x")); return true; }
static bool name_any_bytes(void) { NEED(put("\x01\xff\\\n*", "x")); NEED(holds("\x01\xff\\\n*", "x")); return true; }
static bool open_directory_for_writing(void) { NEED(mkdir("d", 0755) == 0); FAILS(open("d", O_RDWR), EISDIR); return true; }
static bool open_nofollow(void) { NEED(touch("f") && symlink("f", "l") == 0); FAILS(open("l", O_RDONLY | O_NOFOLLOW), ELOOP); return true; }
static bool open_directory_flag(void) { NEED(touch("f")); FAILS(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR); return true; }
static bool chmod_file(void) { NEED(touch("f") && chmod("f", 0604) == 0 && stat("f", &st) == 0); NEED((st.st_mode & 07777) == 0604); return true; }
static bool fchmod_file(void) { int fd = make("f", "", 0600); NEED(fchmod(fd, 0711) == 0 && fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0711); close(fd); return true; }
static bool chmod_special_bits(void) { NEED(touch("f") && chmod("f", 07755) == 0 && stat("f", &st) == 0); NEED((st.st_mode & 07777) == 07755); return true; }
static bool chmod_directory_sticky(void) { NEED(mkdir("d", 0755) == 0 && chmod("d", 01777) == 0 && stat("d", &st) == 0 && (st.st_mode & 07777) == 01777); return true; }
static bool chown_file(void) { NEED(touch("f") && chown("f", 1234, 5678) == 0 && stat("f", &st) == 0 && st.st_uid == 1234 && st.st_gid == 5678); return true; }
static bool chown_large_ids(void) { NEED(touch("f") && chown("f", 3000000000u, 3000000001u) == 0 && stat("f", &st) == 0 && st.st_uid == 3000000000u && st.st_gid == 3000000001u); return true; }
static bool chown_keeps_one(void) { NEED(touch("f") && chown("f", 7, 8) == 0 && chown("f", (uid_t)-1, 9) == 0 && stat("f", &st) == 0 && st.st_uid == 7 && st.st_gid == 9); return true; }
static bool fchown_file(void) { int fd = make("f", "", 0600); NEED(fchown(fd, 3, 4) == 0 && fstat(fd, &st) == 0 && st.st_uid == 3 && st.st_gid == 4); close(fd); return true; }
static bool lchown_link(void) { NEED(touch("f") && symlink("f", "l") == 0 && lchown("l", 5, 6) == 0 && lstat("l", &st) == 0 && st.st_uid == 5 && stat("f", &st) == 0 && st.st_uid == 0); return true; }
static bool chown_clears_setuid(void) { NEED(touch("f") && chmod("f", 06755) == 0 && chown("f", 10, 10) == 0 && stat("f", &st) == 0 && (st.st_mode & 06000) == 0); return true; }
static bool write_by_other(void) { int fd = open("f", O_WRONLY); NEED(fd >= 0 && write(fd, "x", 1) == 1); return true; }
static bool write_clears_setuid(void) { NEED(touch("f") && chmod("f", 04777) == 0 && as(77, 77, write_by_other)); NEED(stat("f", &st) == 0 && (st.st_mode & 04000) == 0); return true; }
static bool make_by_other(void) { int fd = open("mine", O_CREAT | O_EXCL | O_RDWR, 0600); NEED(fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == 1000 && st.st_gid == 1001); return true; }
static bool other_owns_what_it_makes(void) { NEED(chmod(".", 0777) == 0 && as(1000, 1001, make_by_other)); NEED(stat("mine", &st) == 0 && st.st_uid == 1000 && st.st_gid == 1001); return true; }
static bool directory_by_other(void) { NEED(mkdir("dir", 0700) == 0 && stat("dir", &st) == 0 && st.st_uid == 1000); return true; }
static bool other_owns_directories(void) { NEED(chmod(".", 0777) == 0 && as(1000, 1001, directory_by_other)); return true; }
static bool denied_reading(void) { FAILS(open("f", O_RDONLY), EACCES); return true; }
static bool mode_is_enforced(void) { NEED(put("f", "secret") && chmod("f", 0600) == 0 && as(1000, 1000, denied_reading)); return true; }
static bool denied_making(void) { FAILS(open("new", O_CREAT | O_RDWR, 0644), EACCES); return true; }
static bool directory_mode_is_enforced(void) { NEED(chmod(".", 0755) == 0 && as(1000, 1000, denied_making)); return true; }
static bool denied_searching(void) { FAILS(stat("d/f", &st), EACCES); return true; }
static bool search_is_enforced(void) { NEED(mkdir("d", 0755) == 0 && put("d/f", "") && chmod("d", 0600) == 0 && as(1000, 1000, denied_searching)); return true; }
static bool denied_chmod(void) { FAILS(chmod("f", 0777), EPERM); FAILS(chown("f", 1000, 1000), EPERM); return true; }
static bool only_owners_change_modes(void) { NEED(touch("f") && as(1000, 1000, denied_chmod)); return true; }
static bool denied_sticky(void) { FAILS(unlink("d/f"), EPERM); FAILS(rename("d/f", "d/g"), EPERM); return true; }
static bool sticky_is_enforced(void) { NEED(mkdir("d", 0755) == 0 && chmod("d", 01777) == 0 && touch("d/f") && as(1000, 1000, denied_sticky)); return true; }
static bool group_reading(void) { int fd = open("f", O_RDONLY); NEED(fd >= 0); FAILS(open("f", O_WRONLY), EACCES); return true; }
static bool group_mode_is_enforced(void) { NEED(touch("f") && chown("f", 0, 50) == 0 && chmod("f", 0640) == 0 && as(1000, 50, group_reading)); return true; }
static bool setgid_directory(void) { NEED(mkdir("d", 0755) == 0 && chown("d", 0, 60) == 0 && chmod("d", 02775) == 0 && touch("d/f") && stat("d/f", &st) == 0 && st.st_gid == 60); NEED(mkdir("d/e", 0755) == 0 && stat("d/e", &st) == 0 && st.st_gid == 60 && (st.st_mode & 02000)); return true; }
static bool access_as_root(void) { NEED(touch("f") && chmod("f", 0) == 0 && access("f", R_OK | W_OK) == 0); FAILS(access("f", X_OK), EACCES); return true; }

/* --- reading, writing, sizes ---------------------------------------------------------------------------------- */

static bool read_back(void) { NEED(put("f", "hello") && holds("f", "hello")); return true; }
static bool append(void) { int fd = make("f", "ab", 0644); close(fd); fd = open("f", O_WRONLY | O_APPEND); NEED(lseek(fd, 0, SEEK_SET) == 0 && write(fd, "cd", 2) == 2); close(fd); NEED(holds("f", "abcd")); return true; }
static bool append_two_writers(void) { NEED(touch("f")); int a = open("f", O_WRONLY | O_APPEND), b = open("f", O_WRONLY | O_APPEND); NEED(write(a, "1", 1) == 1 && write(b, "2", 1) == 1 && write(a, "3", 1) == 1); close(a); close(b); NEED(holds("f", "123")); return true; }
static bool pwrite_pread(void) { int fd = make("f", "0123456789", 0644); char c[3]; NEED(pwrite(fd, "xyz", 3, 4) == 3 && pread(fd, c, 3, 4) == 3 && memcmp(c, "xyz", 3) == 0 && lseek(fd, 0, SEEK_CUR) == 10); close(fd); return true; }
static bool vectors(void) { int fd = make("f", "", 0644); struct iovec v[2] = {{"ab", 2}, {"cde", 3}}; NEED(writev(fd, v, 2) == 5); close(fd); NEED(holds("f", "abcde")); return true; }
static bool hole_reads_zero(void) { int fd = make("f", "", 0644); char c[8]; NEED(pwrite(fd, "x", 1, 1 << 20) == 1 && pread(fd, c, 8, 4096) == 8 && memcmp(c, "\0\0\0\0\0\0\0\0", 8) == 0 && fstat(fd, &st) == 0 && st.st_size == (1 << 20) + 1); close(fd); return true; }
static bool hole_takes_no_room(void) { int fd = make("f", "", 0644); NEED(ftruncate(fd, 64 << 20) == 0 && fstat(fd, &st) == 0 && st.st_blocks < 1024); close(fd); return true; }
static bool beyond_4g(void) { int fd = make("f", "", 0644); char c; off_t far = (off_t)5 << 30; NEED(pwrite(fd, "e", 1, far) == 1 && pread(fd, &c, 1, far) == 1 && c == 'e' && fstat(fd, &st) == 0 && st.st_size == far + 1); close(fd); return true; }
static bool truncate_shorter(void) { NEED(put("f", "abcdef") && truncate("f", 2) == 0 && holds("f", "ab")); return true; }
static bool truncate_longer(void) { NEED(put("f", "ab") && truncate("f", 4) == 0 && stat("f", &st) == 0 && st.st_size == 4); char c[4]; int fd = open("f", O_RDONLY); NEED(read(fd, c, 4) == 4 && memcmp(c, "ab\0\0", 4) == 0); close(fd); return true; }
static bool truncate_by_open(void) { NEED(put("f", "abc")); int fd = open("f", O_WRONLY | O_TRUNC); NEED(fd >= 0); close(fd); NEED(stat("f", &st) == 0 && st.st_size == 0); return true; }
static bool truncate_read_only(void) { NEED(put("f", "abc")); int fd = open("f", O_RDONLY); FAILS(ftruncate(fd, 0), EINVAL); close(fd); return true; }
static bool truncate_negative(void) { NEED(touch("f")); FAILS(truncate("f", -1), EINVAL); return true; }
static bool truncate_directory(void) { NEED(mkdir("d", 0755) == 0); FAILS(truncate("d", 0), EISDIR); return true; }
static bool write_read_only_fd(void) { NEED(touch("f")); int fd = open("f", O_RDONLY); FAILS(write(fd, "x", 1), EBADF); close(fd); return true; }
static bool read_write_only_fd(void) { NEED(touch("f")); char c; int fd = open("f", O_WRONLY); FAILS(read(fd, &c, 1), EBADF); close(fd); return true; }
static bool read_directory_fd(void) { NEED(mkdir("d", 0755) == 0); char c; int fd = open("d", O_RDONLY); FAILS(read(fd, &c, 1), EISDIR); close(fd); return true; }
static bool allocate(void) { int fd = make("f", "", 0644); NEED(fallocate(fd, 0, 0, 1 << 20) == 0 && fstat(fd, &st) == 0 && st.st_size == 1 << 20 && st.st_blocks >= 2048); close(fd); return true; }
static bool allocate_keep_size(void) { int fd = make("f", "ab", 0644); NEED(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 65536) == 0 && fstat(fd, &st) == 0 && st.st_size == 2); close(fd); return true; }
static bool punch_hole(void) { int fd = make("f", "", 0644); char block[8192]; memset(block, 'x', sizeof(block)); NEED(write(fd, block, 8192) == 8192 && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0 && pread(fd, block, 8192, 0) == 8192 && block[0] == 0 && block[4096] == 'x'); close(fd); return true; }
static bool sync_file(void) { int fd = make("f", "x", 0644); NEED(fsync(fd) == 0 && fdatasync(fd) == 0); close(fd); return true; }
static bool sync_directory(void) { NEED(mkdir("d", 0755) == 0); int fd = open("d", O_RDONLY | O_DIRECTORY); NEED(fsync(fd) == 0); close(fd); return true; }
static bool sync_all(void) { NEED(touch("f")); int fd = open(".", O_RDONLY); NEED(syncfs(fd) == 0); close(fd); return true; }
static bool synchronous_writes(void) { int fd = open("f", O_CREAT | O_RDWR | O_SYNC, 0644); NEED(write(fd, "s", 1) == 1); close(fd); NEED(holds("f", "s")); return true; }
static bool seek_end(void) { int fd = make("f", "abc", 0644); NEED(lseek(fd, 0, SEEK_END) == 3 && lseek(fd, -1, SEEK_END) == 2); FAILS(lseek(fd, -4, SEEK_SET), EINVAL); close(fd); return true; }
static bool copy_range(void) { int a = make("a", "copied", 0644), b = make("b", "", 0644); loff_t from = 0, to = 0; NEED(copy_file_range(a, &from, b, &to, 6, 0) == 6); close(a); close(b); NEED(holds("b", "copied")); return true; }
static bool big_file(void) { static char block[1 << 16], other[1 << 16]; int fd = make("f", "", 0644); for (int i = 0; i < 64; i++) { memset(block, i, sizeof(block)); NEED(write(fd, block, sizeof(block)) == sizeof(block)); } for (int i = 63; i >= 0; i--) { NEED(pread(fd, other, sizeof(other), (off_t)i << 16) == sizeof(other) && other[0] == (char)i && other[sizeof(other) - 1] == (char)i); } close(fd); return true; }

/* --- memory maps ---------------------------------------------------------------------------------------------- */

static bool map_shared(void) { int fd = make("f", "", 0644); NEED(ftruncate(fd, 8192) == 0); char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0); NEED(m != MAP_FAILED); memcpy(m + 4096, "mapped", 6); NEED(msync(m, 8192, MS_SYNC) == 0 && munmap(m, 8192) == 0); char c[6]; NEED(pread(fd, c, 6, 4096) == 6 && memcmp(c, "mapped", 6) == 0); close(fd); return true; }
static bool map_sees_writes(void) { int fd = make("f", "old", 0644); char *m = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0); NEED(m != MAP_FAILED && m[0] == 'o' && pwrite(fd, "new", 3, 0) == 3 && m[0] == 'n'); munmap(m, 4096); close(fd); return true; }
static bool map_private(void) { int fd = make("f", "old", 0644); char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0); NEED(m != MAP_FAILED); m[0] = 'X'; munmap(m, 4096); close(fd); NEED(holds("f", "old")); return true; }
static bool map_outlives_fd(void) { int fd = make("f", "abc", 0644); char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0); NEED(m != MAP_FAILED); close(fd); m[1] = 'X'; NEED(msync(m, 4096, MS_SYNC) == 0); munmap(m, 4096); NEED(holds("f", "aXc")); return true; }
static bool map_outlives_name(void) { int fd = make("f", "abc", 0644); char *m = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0); NEED(m != MAP_FAILED && unlink("f") == 0 && m[2] == 'c'); munmap(m, 4096); close(fd); return true; }
static bool map_two_processes(void) { int fd = make("f", "", 0644); NEED(ftruncate(fd, 4096) == 0); volatile char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0); NEED(m != MAP_FAILED); pid_t p = fork(); if (p == 0) { m[7] = 'c'; _exit(0); } NEED(waitpid(p, NULL, 0) == p && m[7] == 'c'); close(fd); return true; }
static bool map_executable(void) { int fd = make("f", "", 0755); NEED(ftruncate(fd, 4096) == 0); void *m = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0); NEED(m != MAP_FAILED); munmap(m, 4096); close(fd); return true; }

/* --- directories ---------------------------------------------------------------------------------------------- */

static bool mkdir_mode(void) { umask(0); int r = mkdir("d", 01751); umask(022); NEED(r == 0 && stat("d", &st) == 0 && (st.st_mode & 07777) == 01751 && S_ISDIR(st.st_mode)); return true; }
static bool mkdir_exists(void) { NEED(mkdir("d", 0755) == 0); FAILS(mkdir("d", 0755), EEXIST); NEED(symlink("x", "l") == 0); FAILS(mkdir("l", 0755), EEXIST); return true; }
static bool mkdir_no_parent(void) { FAILS(mkdir("no/d", 0755), ENOENT); return true; }
static bool mkdir_links(void) { NEED(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0 && stat("d/e/..", &st) == 0); ino_t i = st.st_ino; NEED(stat("d", &st) == 0 && st.st_ino == i); return true; }
static bool rmdir_full(void) { NEED(mkdir("d", 0755) == 0 && touch("d/f")); FAILS(rmdir("d"), ENOTEMPTY); NEED(unlink("d/f") == 0 && rmdir("d") == 0); return true; }
static bool rmdir_file(void) { NEED(touch("f")); FAILS(rmdir("f"), ENOTDIR); return true; }
static bool rmdir_dot(void) { NEED(mkdir("d", 0755) == 0); FAILS(rmdir("d/."), EINVAL); return true; }
static bool unlink_directory(void) { NEED(mkdir("d", 0755) == 0); FAILS(unlink("d"), EISDIR); return true; }
static bool list_many(void) { char name[32]; for (int i = 0; i < 500; i++) { snprintf(name, sizeof(name), "file-%03d", i); NEED(touch(name)); } int seen = 0; DIR *d = opendir("."); for (struct dirent *e; (e = readdir(d)) != NULL;) seen += strncmp(e->d_name, "file-", 5) == 0; closedir(d); NEED(seen == 500); return true; }
static bool list_types(void) { NEED(touch("f") && mkdir("d", 0755) == 0 && symlink("f", "l") == 0); int right = 0; DIR *d = opendir("."); for (struct dirent *e; (e = readdir(d)) != NULL;) right += (e->d_name[0] == 'f' && e->d_type == DT_REG) || (e->d_name[0] == 'd' && e->d_type == DT_DIR) || (e->d_name[0] == 'l' && e->d_type == DT_LNK); closedir(d); NEED(right == 3); return true; }
static bool list_while_removing(void) { char name[32]; for (int i = 0; i < 200; i++) { snprintf(name, sizeof(name), "r%d", i); NEED(touch(name)); } DIR *d = opendir("."); for (struct dirent *e; (e = readdir(d)) != NULL;) if (e->d_name[0] == 'r') NEED(unlink(e->d_name) == 0); rewinddir(d); int left = 0; for (struct dirent *e; (e = readdir(d)) != NULL;) left += e->d_name[0] == 'r'; closedir(d); NEED(left == 0); return true; }
static bool list_seek(void) { NEED(touch("a") && touch("b") && touch("c")); DIR *d = opendir("."); struct dirent *e = readdir(d); NEED(e != NULL); long at = telldir(d); e = readdir(d); char name[256]; snprintf(name, sizeof(name), "%s", e->d_name); seekdir(d, at); e = readdir(d); NEED(e != NULL && strcmp(e->d_name, name) == 0); closedir(d); return true; }
static bool removed_directory_is_empty(void) { NEED(mkdir("d", 0755) == 0); int fd = open("d", O_RDONLY | O_DIRECTORY); NEED(rmdir("d") == 0); FAILS(openat(fd, "f", O_CREAT | O_RDWR, 0644), ENOENT); close(fd); return true; }
static bool relative_to_directory(void) { NEED(mkdir("d", 0755) == 0); int fd = open("d", O_RDONLY | O_DIRECTORY), f = openat(fd, "f", O_CREAT | O_RDWR, 0644); NEED(f >= 0 && fstatat(fd, "f", &st, 0) == 0 && unlinkat(fd, "f", 0) == 0); close(f); close(fd); return true; }
static bool deep_path(void) { for (int i = 0; i < 60; i++) { NEED(mkdir("deep-directory", 0755) == 0 && chdir("deep-directory") == 0); } char path[PATH_MAX]; NEED(getcwd(path, sizeof(path)) != NULL && strlen(path) > 800); return true; }

/* --- names: links, unlink, rename ------------------------------------------------------------------------------ */

static bool link_same_file(void) { NEED(put("a", "x") && link("a", "b") == 0 && stat("a", &st) == 0 && st.st_nlink == 2); ino_t i = st.st_ino; NEED(stat("b", &st) == 0 && st.st_ino == i && unlink("a") == 0 && holds("b", "x") && stat("b", &st) == 0 && st.st_nlink == 1); return true; }
static bool link_exists(void) { NEED(touch("a") && touch("b")); FAILS(link("a", "b"), EEXIST); return true; }
static bool link_directory(void) { NEED(mkdir("d", 0755) == 0); FAILS(link("d", "e"), EPERM); return true; }
static bool link_missing(void) { FAILS(link("no", "b"), ENOENT); return true; }
static bool link_shares_content(void) { NEED(put("a", "one") && link("a", "b") == 0); int fd = open("b", O_WRONLY | O_TRUNC); NEED(write(fd, "two!", 4) == 4); close(fd); NEED(holds("a", "two!")); return true; }
static bool link_of_link(void) { NEED(symlink("nowhere", "l") == 0 && link("l", "m") == 0 && lstat("m", &st) == 0 && S_ISLNK(st.st_mode)); return true; }
static bool link_by_fd(void) { int fd = make("f", "x", 0644); char p[64]; snprintf(p, sizeof(p), "/proc/self/fd/%d", fd); NEED(linkat(AT_FDCWD, p, AT_FDCWD, "g", AT_SYMLINK_FOLLOW) == 0); close(fd); NEED(holds("g", "x")); return true; }
static bool symlink_text(void) { char b[64]; NEED(symlink("some/where", "l") == 0 && readlink("l", b, sizeof(b)) == 10 && memcmp(b, "some/where", 10) == 0 && lstat("l", &st) == 0 && st.st_size == 10); return true; }
static bool symlink_long(void) { static char t[1025], b[2000]; memset(t, 't', 1024); NEED(symlink(t, "l") == 0 && readlink("l", b, sizeof(b)) == 1024); return true; }
static bool symlink_loop(void) { NEED(symlink("b", "a") == 0 && symlink("a", "b") == 0); FAILS(open("a", O_RDONLY), ELOOP); return true; }
static bool symlink_exists(void) { NEED(touch("f")); FAILS(symlink("x", "f"), EEXIST); return true; }
static bool symlink_swap(void) { NEED(mkdir("v1", 0755) == 0 && mkdir("v2", 0755) == 0 && put("v1/k", "1") && put("v2/k", "2") && symlink("v1", "data") == 0 && holds("data/k", "1") && symlink("v2", "new") == 0 && rename("new", "data") == 0 && holds("data/k", "2")); return true; }
static bool readlink_file(void) { NEED(touch("f")); char b[8]; FAILS(readlink("f", b, 8), EINVAL); return true; }
static bool unlink_missing(void) { FAILS(unlink("no"), ENOENT); return true; }
static bool unlink_open_reads(void) { int fd = make("f", "kept", 0644); char b[4]; NEED(unlink("f") == 0 && pread(fd, b, 4, 0) == 4 && memcmp(b, "kept", 4) == 0); close(fd); return true; }
static bool unlink_open_writes(void) { int fd = make("f", "", 0644); char b[3]; NEED(unlink("f") == 0 && write(fd, "new", 3) == 3 && pread(fd, b, 3, 0) == 3 && b[2] == 'w'); close(fd); return true; }
static bool unlink_open_stat(void) { int fd = make("f", "abc", 0644); NEED(unlink("f") == 0 && fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 3); close(fd); return true; }
static bool unlink_open_truncate(void) { int fd = make("f", "abc", 0644); NEED(unlink("f") == 0 && ftruncate(fd, 1) == 0 && fstat(fd, &st) == 0 && st.st_size == 1); close(fd); return true; }
static bool unlink_open_chmod(void) { int fd = make("f", "", 0600); NEED(unlink("f") == 0 && fchmod(fd, 0640) == 0 && fchown(fd, 1, 2) == 0 && fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0640 && st.st_gid == 2); close(fd); return true; }
static bool unlink_then_make(void) { int fd = make("f", "old", 0644); NEED(unlink("f") == 0 && put("f", "new")); char b[3]; NEED(pread(fd, b, 3, 0) == 3 && b[0] == 'o' && holds("f", "new")); close(fd); return true; }
static bool rename_plain(void) { NEED(put("a", "x") && rename("a", "b") == 0 && holds("b", "x")); FAILS(stat("a", &st), ENOENT); return true; }
static bool rename_over(void) { NEED(put("a", "new") && put("b", "old") && rename("a", "b") == 0 && holds("b", "new")); return true; }
static bool rename_over_open(void) { NEED(put("a", "new")); int fd = make("b", "old", 0644); char c[3]; NEED(rename("a", "b") == 0 && pread(fd, c, 3, 0) == 3 && c[0] == 'o' && fstat(fd, &st) == 0 && st.st_nlink == 0); close(fd); return true; }
static bool rename_keeps_open(void) { int fd = make("a", "x", 0644); NEED(rename("a", "b") == 0 && write(fd, "y", 1) == 1); close(fd); NEED(holds("b", "xy")); return true; }
static bool rename_between(void) { NEED(mkdir("d", 0755) == 0 && put("a", "x") && rename("a", "d/a") == 0 && holds("d/a", "x")); return true; }
static bool rename_directory(void) { NEED(mkdir("d", 0755) == 0 && put("d/f", "x") && rename("d", "e") == 0 && holds("e/f", "x")); return true; }
static bool rename_directory_over_empty(void) { NEED(mkdir("d", 0755) == 0 && put("d/f", "x") && mkdir("e", 0755) == 0 && rename("d", "e") == 0 && holds("e/f", "x")); return true; }
static bool rename_directory_over_full(void) { NEED(mkdir("d", 0755) == 0 && mkdir("e", 0755) == 0 && touch("e/f")); NEED(rename("d", "e") < 0 && (errno == ENOTEMPTY || errno == EEXIST)); return true; }
static bool rename_into_itself(void) { NEED(mkdir("d", 0755) == 0); FAILS(rename("d", "d/e"), EINVAL); return true; }
static bool rename_file_over_directory(void) { NEED(touch("f") && mkdir("d", 0755) == 0); FAILS(rename("f", "d"), EISDIR); FAILS(rename("d", "f"), ENOTDIR); return true; }
static bool rename_same_inode(void) { NEED(touch("a") && link("a", "b") == 0 && rename("a", "b") == 0 && stat("a", &st) == 0 && stat("b", &st) == 0); return true; }
static bool rename_missing(void) { FAILS(rename("no", "b"), ENOENT); return true; }
static bool rename_no_replace(void) { NEED(touch("a") && touch("b")); FAILS(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST); NEED(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE) == 0); return true; }
static bool rename_exchange(void) { NEED(put("a", "1") && put("b", "2") && renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE) == 0 && holds("a", "2") && holds("b", "1")); return true; }
static bool rename_keeps_inode(void) { NEED(touch("a") && stat("a", &st) == 0); ino_t i = st.st_ino; NEED(rename("a", "b") == 0 && stat("b", &st) == 0 && st.st_ino == i); return true; }

/* --- special files --------------------------------------------------------------------------------------------- */

static bool fifo(void) { NEED(mkfifo("p", 0600) == 0 && stat("p", &st) == 0 && S_ISFIFO(st.st_mode)); int r = open("p", O_RDONLY | O_NONBLOCK), w = open("p", O_WRONLY); char c; NEED(write(w, "x", 1) == 1 && read(r, &c, 1) == 1 && c == 'x'); close(r); close(w); return true; }
static bool fifo_without_reader(void) { NEED(mkfifo("p", 0600) == 0); FAILS(open("p", O_WRONLY | O_NONBLOCK), ENXIO); return true; }
static bool unix_socket(void) { struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "s"}; int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0); char b; NEED(bind(s, (void *)&a, sizeof(a)) == 0 && listen(s, 1) == 0 && stat("s", &st) == 0 && S_ISSOCK(st.st_mode) && connect(c, (void *)&a, sizeof(a)) == 0); int p = accept(s, NULL, NULL); NEED(write(c, "x", 1) == 1 && read(p, &b, 1) == 1); close(s); close(c); close(p); return true; }
static bool unix_socket_exists(void) { struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "s"}; NEED(touch("s")); int s = socket(AF_UNIX, SOCK_STREAM, 0); FAILS(bind(s, (void *)&a, sizeof(a)), EADDRINUSE); close(s); return true; }
static bool device_node(void) { NEED(mknod("n", S_IFCHR | 0600, makedev(1, 3)) == 0 && stat("n", &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)); return true; }
static bool block_node(void) { NEED(mknod("n", S_IFBLK | 0600, makedev(7, 99)) == 0 && stat("n", &st) == 0 && S_ISBLK(st.st_mode) && major(st.st_rdev) == 7); return true; }
static bool mknod_file(void) { NEED(mknod("n", S_IFREG | 0640, 0) == 0 && stat("n", &st) == 0 && S_ISREG(st.st_mode)); return true; }
static bool mknod_exists(void) { NEED(touch("n")); FAILS(mknod("n", S_IFIFO | 0600, 0), EEXIST); return true; }

/* --- extended attributes --------------------------------------------------------------------------------------- */

static bool xattr_set_get(void) { char b[16]; NEED(touch("f") && setxattr("f", "user.a", "value", 5, 0) == 0 && getxattr("f", "user.a", b, 16) == 5 && memcmp(b, "value", 5) == 0); return true; }
static bool xattr_flags(void) { NEED(touch("f")); FAILS(setxattr("f", "user.a", "v", 1, XATTR_REPLACE), ENODATA); NEED(setxattr("f", "user.a", "v", 1, XATTR_CREATE) == 0); FAILS(setxattr("f", "user.a", "w", 1, XATTR_CREATE), EEXIST); return true; }
static bool xattr_list(void) { char b[256]; NEED(touch("f") && setxattr("f", "user.one", "1", 1, 0) == 0 && setxattr("f", "user.two", "2", 1, 0) == 0); ssize_t n = listxattr("f", b, sizeof(b)); NEED(n > 0 && memmem(b, n, "user.one", 9) && memmem(b, n, "user.two", 9)); return true; }
static bool xattr_remove(void) { char b[4]; NEED(touch("f") && setxattr("f", "user.a", "v", 1, 0) == 0 && removexattr("f", "user.a") == 0); FAILS(getxattr("f", "user.a", b, 4), ENODATA); FAILS(removexattr("f", "user.a"), ENODATA); return true; }
static bool xattr_size(void) { NEED(touch("f") && setxattr("f", "user.a", "12345", 5, 0) == 0 && getxattr("f", "user.a", NULL, 0) == 5); char b[2]; FAILS(getxattr("f", "user.a", b, 2), ERANGE); return true; }
static bool xattr_empty_and_binary(void) { char b[8]; NEED(touch("f") && setxattr("f", "user.e", "", 0, 0) == 0 && getxattr("f", "user.e", b, 8) == 0 && setxattr("f", "user.b", "\0\1\2", 3, 0) == 0 && getxattr("f", "user.b", b, 8) == 3 && b[2] == 2); return true; }
static bool xattr_directory(void) { char b[8]; NEED(mkdir("d", 0755) == 0 && setxattr("d", "user.d", "x", 1, 0) == 0 && getxattr("d", "user.d", b, 8) == 1); return true; }
static bool xattr_by_fd(void) { char b[8]; int fd = make("f", "", 0644); NEED(fsetxattr(fd, "user.a", "x", 1, 0) == 0 && fgetxattr(fd, "user.a", b, 8) == 1 && flistxattr(fd, NULL, 0) > 0 && fremovexattr(fd, "user.a") == 0); close(fd); return true; }
static bool xattr_survives_rename(void) { char b[8]; NEED(touch("f") && setxattr("f", "user.a", "x", 1, 0) == 0 && rename("f", "g") == 0 && getxattr("g", "user.a", b, 8) == 1); return true; }
static bool xattr_capability(void) { uint32_t cap[5] = {0x02000000, 0x400, 0, 0, 0}; char b[32]; NEED(touch("f") && setxattr("f", "security.capability", cap, 20, 0) == 0 && getxattr("f", "security.capability", b, sizeof(b)) == 20); return true; }

/* --- locks ----------------------------------------------------------------------------------------------------- */

static bool flock_conflict(void) { NEED(touch("f")); int a = open("f", O_RDWR), b = open("f", O_RDWR); NEED(flock(a, LOCK_EX) == 0); FAILS(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK); NEED(flock(a, LOCK_UN) == 0 && flock(b, LOCK_EX | LOCK_NB) == 0); close(a); close(b); return true; }
static bool flock_shared(void) { NEED(touch("f")); int a = open("f", O_RDWR), b = open("f", O_RDWR); NEED(flock(a, LOCK_SH) == 0 && flock(b, LOCK_SH | LOCK_NB) == 0); FAILS(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK); close(a); close(b); return true; }
static bool flock_freed_by_close(void) { NEED(touch("f")); int a = open("f", O_RDWR), b = open("f", O_RDWR); NEED(flock(a, LOCK_EX) == 0 && close(a) == 0 && flock(b, LOCK_EX | LOCK_NB) == 0); close(b); return true; }
static struct flock range(short type, off_t start, off_t size) { return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = size}; }
static bool child_cannot_lock(void) { int fd = open("f", O_RDWR); struct flock l = range(F_WRLCK, 5, 5); NEED(fcntl(fd, F_SETLK, &l) < 0 && (errno == EAGAIN || errno == EACCES)); l = range(F_WRLCK, 20, 5); NEED(fcntl(fd, F_SETLK, &l) == 0); l = range(F_WRLCK, 0, 10); NEED(fcntl(fd, F_GETLK, &l) == 0 && l.l_type == F_WRLCK && l.l_pid > 0); return true; }
static bool record_locks(void) { NEED(touch("f") && chmod("f", 0666) == 0); int fd = open("f", O_RDWR); struct flock l = range(F_WRLCK, 0, 10); NEED(fcntl(fd, F_SETLK, &l) == 0 && as(0, 0, child_cannot_lock)); close(fd); return true; }
static bool record_lock_freed(void) { NEED(touch("f")); int fd = open("f", O_RDWR); pid_t p = fork(); if (p == 0) { struct flock l = range(F_WRLCK, 0, 0); _exit(fcntl(fd, F_SETLK, &l) == 0 ? 0 : 1); } int s; NEED(waitpid(p, &s, 0) == p && s == 0); struct flock l = range(F_WRLCK, 0, 0); NEED(fcntl(fd, F_SETLK, &l) == 0); close(fd); return true; }
static bool open_file_locks(void) { NEED(touch("f")); int a = open("f", O_RDWR), b = open("f", O_RDWR); struct flock l = range(F_WRLCK, 0, 0); NEED(fcntl(a, F_OFD_SETLK, &l) == 0); l = range(F_WRLCK, 0, 0); NEED(fcntl(b, F_OFD_SETLK, &l) < 0 && (errno == EAGAIN || errno == EACCES)); close(a); close(b); return true; }

/* --- times ----------------------------------------------------------------------------------------------------- */

static bool times_set(void) { NEED(touch("f")); struct timespec t[2] = {{1000000000, 123456789}, {1500000000, 987654321}}; NEED(utimensat(AT_FDCWD, "f", t, 0) == 0 && stat("f", &st) == 0 && st.st_atim.tv_sec == 1000000000 && st.st_mtim.tv_sec == 1500000000 && st.st_mtim.tv_nsec == 987654321); return true; }
static bool times_omit(void) { NEED(touch("f")); struct timespec t[2] = {{7, 0}, {8, 0}}, u[2] = {{0, UTIME_OMIT}, {9, 0}}; NEED(utimensat(AT_FDCWD, "f", t, 0) == 0 && utimensat(AT_FDCWD, "f", u, 0) == 0 && stat("f", &st) == 0 && st.st_atim.tv_sec == 7 && st.st_mtim.tv_sec == 9); return true; }
static bool times_now(void) { NEED(touch("f")); struct timespec t[2] = {{7, 0}, {8, 0}}; NEED(utimensat(AT_FDCWD, "f", t, 0) == 0 && utimensat(AT_FDCWD, "f", NULL, 0) == 0 && stat("f", &st) == 0 && llabs((long long)st.st_mtim.tv_sec - time(NULL)) < 60); return true; }
static bool times_of_link(void) { struct timespec t[2] = {{7, 0}, {8, 0}}; NEED(touch("f") && symlink("f", "l") == 0 && utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW) == 0 && lstat("l", &st) == 0 && st.st_mtim.tv_sec == 8 && stat("f", &st) == 0 && st.st_mtim.tv_sec != 8); return true; }
static bool times_far(void) { NEED(touch("f")); struct timespec t[2] = {{4102444800, 0}, {4102444800, 0}}; NEED(utimensat(AT_FDCWD, "f", t, 0) == 0 && stat("f", &st) == 0 && st.st_mtim.tv_sec == 4102444800); return true; }
static bool backdate(const char *path) { struct timespec t[2] = {{100, 0}, {100, 0}}; return utimensat(AT_FDCWD, path, t, 0) == 0; }
static bool write_changes_time(void) { NEED(touch("f") && backdate("f")); int fd = open("f", O_WRONLY); NEED(write(fd, "x", 1) == 1); close(fd); NEED(stat("f", &st) == 0 && st.st_mtim.tv_sec > 100); return true; }
static bool truncate_changes_time(void) { NEED(put("f", "abc") && backdate("f") && truncate("f", 1) == 0 && stat("f", &st) == 0 && st.st_mtim.tv_sec > 100); return true; }
static bool chmod_changes_ctime(void) { NEED(touch("f") && stat("f", &st) == 0); struct timespec c = st.st_ctim; usleep(20000); NEED(chmod("f", 0600) == 0 && stat("f", &st) == 0 && (st.st_ctim.tv_sec > c.tv_sec || st.st_ctim.tv_nsec != c.tv_nsec)); return true; }
static bool making_changes_directory(void) { NEED(mkdir("d", 0755) == 0 && backdate("d") && touch("d/f")); sleep(2); NEED(stat("d", &st) == 0 && st.st_mtim.tv_sec > 100); return true; }
static bool removing_changes_directory(void) { NEED(mkdir("d", 0755) == 0 && touch("d/f") && backdate("d") && unlink("d/f") == 0); sleep(2); NEED(stat("d", &st) == 0 && st.st_mtim.tv_sec > 100); return true; }

/* --- programs, and the rest ------------------------------------------------------------------------------------ */

static char self[PATH_MAX];
static bool copy_self(const char *to, mode_t mode) { int a = open(self, O_RDONLY), b = open(to, O_CREAT | O_EXCL | O_WRONLY, 0755); char buffer[65536]; for (ssize_t n; (n = read(a, buffer, sizeof(buffer))) > 0;) if (write(b, buffer, n) != n) return false; close(a); close(b); return chmod(to, mode) == 0; }
static int run(const char *path, const char *what) { pid_t p = fork(); if (p == 0) { execl(path, path, what, NULL); _exit(errno == EACCES ? 100 : 101); } int s = 0; waitpid(p, &s, 0); return WIFEXITED(s) ? WEXITSTATUS(s) : -1; }
static bool run_program(void) { NEED(copy_self("prog", 0755) && run("./prog", "--euid") == 0); return true; }
static bool run_without_x(void) { NEED(copy_self("prog", 0644) && run("./prog", "--euid") == 100); return true; }
static bool run_setuid_as(void) { NEED(run("./prog", "--euid") == 42); return true; }
static bool run_setuid(void) { NEED(chmod(".", 0755) == 0 && copy_self("prog", 0755) && chown("prog", 42, 42) == 0 && chmod("prog", 04755) == 0 && as(1000, 1000, run_setuid_as)); return true; }
static bool run_script(void) { char text[PATH_MAX + 32]; snprintf(text, sizeof(text), "#!%s --script\n", self); int fd = make("script", text, 0755); close(fd); NEED(run("./script", "x") == 33); return true; }
static bool write_running(void) { NEED(copy_self("prog", 0755)); pid_t p = fork(); if (p == 0) { execl("./prog", "./prog", "--sleep", NULL); _exit(1); } usleep(500000); errno = 0; int fd = open("prog", O_WRONLY), number = errno; kill(p, SIGKILL); waitpid(p, NULL, 0); if (fd >= 0) close(fd); NEED(fd < 0 && number == ETXTBSY); return true; }
static bool replace_running(void) { NEED(copy_self("prog", 0755) && put("new", "x")); pid_t p = fork(); if (p == 0) { execl("./prog", "./prog", "--sleep", NULL); _exit(1); } usleep(300000); bool fine = rename("new", "prog") == 0; kill(p, SIGKILL); waitpid(p, NULL, 0); NEED(fine && holds("prog", "x")); return true; }
static bool file_system_figures(void) { struct statvfs v; NEED(statvfs(".", &v) == 0 && v.f_bsize > 0 && v.f_blocks > 0 && v.f_namemax == 255); return true; }
static bool inode_numbers_differ(void) { NEED(touch("a") && touch("b") && stat("a", &st) == 0); ino_t i = st.st_ino; NEED(stat("b", &st) == 0 && st.st_ino != i); return true; }
static bool many_open_files(void) { int fds[300]; char name[16]; for (int i = 0; i < 300; i++) { snprintf(name, sizeof(name), "m%d", i); fds[i] = make(name, "x", 0644); NEED(fds[i] >= 0); } for (int i = 0; i < 300; i++) { char c; NEED(pread(fds[i], &c, 1, 0) == 1); close(fds[i]); } return true; }
static bool parallel_makers(void) { for (int i = 0; i < 4; i++) if (fork() == 0) { char name[32]; for (int n = 0; n < 50; n++) { snprintf(name, sizeof(name), "p%d-%d", i, n); if (!touch(name)) _exit(1); } _exit(0); } int bad = 0, s; for (int i = 0; i < 4; i++) { wait(&s); bad += s != 0; } int seen = 0; DIR *d = opendir("."); for (struct dirent *e; (e = readdir(d)) != NULL;) seen += e->d_name[0] == 'p'; closedir(d); NEED(bad == 0 && seen == 200); return true; }
static bool exclusive_race(void) { int pipes[2]; NEED(pipe(pipes) == 0); for (int i = 0; i < 8; i++) if (fork() == 0) { if (open("one", O_CREAT | O_EXCL | O_RDWR, 0644) >= 0 && write(pipes[1], "w", 1) != 1) _exit(1); _exit(0); } while (wait(NULL) > 0) {} close(pipes[1]); char b[8]; NEED(read(pipes[0], b, 8) == 1); close(pipes[0]); return true; }
static bool descriptor_passes_fork(void) { int fd = make("f", "", 0644); pid_t p = fork(); if (p == 0) _exit(write(fd, "ab", 2) == 2 ? 0 : 1); waitpid(p, NULL, 0); NEED(write(fd, "c", 1) == 1); close(fd); NEED(holds("f", "abc")); return true; }
static bool path_descriptor(void) { NEED(put("f", "x")); int fd = open("f", O_PATH); NEED(fd >= 0 && fstat(fd, &st) == 0 && st.st_size == 1); char c; FAILS(read(fd, &c, 1), EBADF); close(fd); return true; }

struct check { const char *name; bool (*run)(void); };
#define CHECK(name) {#name, name}
static const struct check checks[] = {
    CHECK(create_mode), CHECK(create_umask), CHECK(create_exclusive), CHECK(create_exclusive_link), CHECK(create_through_link), CHECK(create_missing_parent), CHECK(create_under_file), CHECK(name_longest), CHECK(name_too_long), CHECK(name_utf8), CHECK(name_any_bytes), CHECK(open_directory_for_writing), CHECK(open_nofollow), CHECK(open_directory_flag), CHECK(chmod_file), CHECK(fchmod_file), CHECK(chmod_special_bits), CHECK(chmod_directory_sticky), CHECK(chown_file), CHECK(chown_large_ids), CHECK(chown_keeps_one), CHECK(fchown_file), CHECK(lchown_link), CHECK(chown_clears_setuid), CHECK(write_clears_setuid), CHECK(other_owns_what_it_makes), CHECK(other_owns_directories), CHECK(mode_is_enforced), CHECK(directory_mode_is_enforced), CHECK(search_is_enforced), CHECK(only_owners_change_modes), CHECK(sticky_is_enforced), CHECK(group_mode_is_enforced), CHECK(setgid_directory), CHECK(access_as_root),
    CHECK(read_back), CHECK(append), CHECK(append_two_writers), CHECK(pwrite_pread), CHECK(vectors), CHECK(hole_reads_zero), CHECK(hole_takes_no_room), CHECK(beyond_4g), CHECK(truncate_shorter), CHECK(truncate_longer), CHECK(truncate_by_open), CHECK(truncate_read_only), CHECK(truncate_negative), CHECK(truncate_directory), CHECK(write_read_only_fd), CHECK(read_write_only_fd), CHECK(read_directory_fd), CHECK(allocate), CHECK(allocate_keep_size), CHECK(punch_hole), CHECK(sync_file), CHECK(sync_directory), CHECK(sync_all), CHECK(synchronous_writes), CHECK(seek_end), CHECK(copy_range), CHECK(big_file),
    CHECK(map_shared), CHECK(map_sees_writes), CHECK(map_private), CHECK(map_outlives_fd), CHECK(map_outlives_name), CHECK(map_two_processes), CHECK(map_executable),
    CHECK(mkdir_mode), CHECK(mkdir_exists), CHECK(mkdir_no_parent), CHECK(mkdir_links), CHECK(rmdir_full), CHECK(rmdir_file), CHECK(rmdir_dot), CHECK(unlink_directory), CHECK(list_many), CHECK(list_types), CHECK(list_while_removing), CHECK(list_seek), CHECK(removed_directory_is_empty), CHECK(relative_to_directory), CHECK(deep_path),
    CHECK(link_same_file), CHECK(link_exists), CHECK(link_directory), CHECK(link_missing), CHECK(link_shares_content), CHECK(link_of_link), CHECK(link_by_fd), CHECK(symlink_text), CHECK(symlink_long), CHECK(symlink_loop), CHECK(symlink_exists), CHECK(symlink_swap), CHECK(readlink_file), CHECK(unlink_missing), CHECK(unlink_open_reads), CHECK(unlink_open_writes), CHECK(unlink_open_stat), CHECK(unlink_open_truncate), CHECK(unlink_open_chmod), CHECK(unlink_then_make), CHECK(rename_plain), CHECK(rename_over), CHECK(rename_over_open), CHECK(rename_keeps_open), CHECK(rename_between), CHECK(rename_directory), CHECK(rename_directory_over_empty), CHECK(rename_directory_over_full), CHECK(rename_into_itself), CHECK(rename_file_over_directory), CHECK(rename_same_inode), CHECK(rename_missing), CHECK(rename_no_replace), CHECK(rename_exchange), CHECK(rename_keeps_inode),
    CHECK(fifo), CHECK(fifo_without_reader), CHECK(unix_socket), CHECK(unix_socket_exists), CHECK(device_node), CHECK(block_node), CHECK(mknod_file), CHECK(mknod_exists),
    CHECK(xattr_set_get), CHECK(xattr_flags), CHECK(xattr_list), CHECK(xattr_remove), CHECK(xattr_size), CHECK(xattr_empty_and_binary), CHECK(xattr_directory), CHECK(xattr_by_fd), CHECK(xattr_survives_rename), CHECK(xattr_capability),
    CHECK(flock_conflict), CHECK(flock_shared), CHECK(flock_freed_by_close), CHECK(record_locks), CHECK(record_lock_freed), CHECK(open_file_locks),
    CHECK(times_set), CHECK(times_omit), CHECK(times_now), CHECK(times_of_link), CHECK(times_far), CHECK(write_changes_time), CHECK(truncate_changes_time), CHECK(chmod_changes_ctime), CHECK(making_changes_directory), CHECK(removing_changes_directory),
    CHECK(run_program), CHECK(run_without_x), CHECK(run_setuid), CHECK(run_script), CHECK(write_running), CHECK(replace_running), CHECK(file_system_figures), CHECK(inode_numbers_differ), CHECK(many_open_files), CHECK(parallel_makers), CHECK(exclusive_race), CHECK(descriptor_passes_fork), CHECK(path_descriptor),
};

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--euid") == 0) return (int)geteuid();
  if (argc > 1 && strcmp(argv[1], "--script") == 0) return 33;
  if (argc > 1 && strcmp(argv[1], "--sleep") == 0) return (int)sleep(60);
  if (argc != 2 || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0 || chdir(argv[1]) < 0) return 2;
  umask(022);
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
    /* Each in a process and a directory of its own: one that changes its user, or hangs, is alone. */
    pid_t child = fork();
    if (child == 0) {
      alarm(60);
      snprintf(why, sizeof(why), "no reason");
      bool fine = mkdir(checks[i].name, 0755) == 0 && chdir(checks[i].name) == 0 && checks[i].run();
      if (fine) printf("ok %s\n", checks[i].name);
      else printf("bad %s: %s\n", checks[i].name, why);
      exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status)) printf("bad %s: ended by signal %d\n", checks[i].name, WTERMSIG(status));
  }
  printf("checks %zu\n", sizeof(checks) / sizeof(checks[0]));
  return 0;
}
