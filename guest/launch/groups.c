/* Cgroups (version 2) and namespaces: what is made before there is a process, and what it enters. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "launch.h"

#define GROUPS "/sys/fs/cgroup"

static bool write_at(int directory, const char *path, const void *bytes, size_t size, int flags) {
  int fd = openat(directory, path, O_WRONLY | O_CLOEXEC | flags, 0600);
  if (fd < 0) return false;
  bool fine = write(fd, bytes, size) == (ssize_t)size;
  int number = errno;
  close(fd);
  errno = number;
  return fine;
}

/* group PATH: makes it where it is not. */
void step_group(struct launch *it) {
  snprintf(it->group_path, sizeof(it->group_path), GROUPS "%s", take_text(it));
  for (char *at = it->group_path + strlen(GROUPS) + 1; it->init == 0; at++) {
    char letter = *at;
    if (letter != '/' && letter != 0) continue;
    *at = 0;
    must(mkdir(it->group_path, 0755) == 0 || errno == EEXIST, "make the cgroup %s", it->group_path);
    *at = letter;
    if (letter == 0) break;
  }
  it->group = open(it->group_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  must(it->group >= 0, "open the cgroup %s", it->group_path);
}

/* limit FILE VALUE OPTIONAL: what the kernel may lack is left out. */
void step_limit(struct launch *it) {
  const char *file = take_text(it), *value = take_text(it);
  bool optional = take_number(it) != 0;
  bool fine = write_at(it->group, file, value, strlen(value), 0);
  must(fine || (optional && errno == ENOENT), "write `%s` to the cgroup's %s", value, file);
}

/* devices BYTES: a program for the kernel's BPF machine that says which devices may be used. */
void step_devices(struct launch *it) {
  struct code code = take_bytes(it);
  union bpf_attr wish;
  memset(&wish, 0, sizeof(wish));
  wish.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  wish.insns = (uint64_t)(uintptr_t)code.at;
  wish.insn_cnt = (uint32_t)((size_t)(code.end - code.at) / sizeof(struct bpf_insn));
  wish.license = (uint64_t)(uintptr_t)"GPL";
  int program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &wish, sizeof(wish));
  must(program >= 0, "load the rules for devices");
  int group = open(it->group_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  memset(&wish, 0, sizeof(wish));
  wish.target_fd = (uint32_t)group;
  wish.attach_bpf_fd = (uint32_t)program;
  wish.attach_type = BPF_CGROUP_DEVICE;
  wish.attach_flags = BPF_F_ALLOW_MULTI;
  must(syscall(SYS_bpf, BPF_PROG_ATTACH, &wish, sizeof(wish)) == 0, "attach the rules for devices");
  close(group);
  close(program);
}

/* join PATH: a namespace that is there; of processes, it is the new one's. */
void step_join(struct launch *it) {
  const char *path = take_text(it);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  must(fd >= 0 && setns(fd, 0) == 0, "join the namespace %s", path);
  close(fd);
}

/* keep NAME BYTES: steps that processes of the container do as well. */
void step_keep(struct launch *it) {
  char path[MAX_PATH];
  snprintf(path, sizeof(path), "%s/%s", it->state, take_text(it));
  struct code code = take_bytes(it);
  bool fine = write_at(AT_FDCWD, path, code.at, (size_t)(code.end - code.at), O_CREAT | O_TRUNC);
  must(fine, "keep %s", path);
}

/* load NUMBER NAME: steps that were kept; nothing if there are none. */
void step_load(struct launch *it) {
  char path[MAX_PATH];
  uint64_t number = take_number(it);
  snprintf(path, sizeof(path), "%s/%s", it->state, take_text(it));
  if (number >= MAX_KEPT) stop(0, "the program loads too much");
  must(read_code(path, &it->loaded[number]) || errno == ENOENT, "read %s", path);
}

/* clone FLAGS: everything behind it is the new process's. */
void step_clone(struct launch *it) {
  it->clone_flags = take_number(it);
  it->cloned = true;
  if (it->init == 0) return;
  it->init_fd = (int)syscall(SYS_pidfd_open, it->init, 0);
  must(it->init_fd >= 0 && setns(it->init_fd, CLONE_NEWPID) == 0, "join the processes of the container");
}

/* enter: the namespaces of the container, and its root. */
void step_enter(struct launch *it) {
  const int all = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;
  must(setns(it->init_fd, all) == 0, "enter the container");
  it->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  must(it->root >= 0, "open the container's root");
}

void step_unshare(struct launch *it) {
  must(unshare((int)take_number(it)) == 0, "make namespaces");
}

/* write PATH TEXT: to a file of the guest. */
void step_write(struct launch *it) {
  const char *path = take_text(it), *text = take_text(it);
  must(write_at(AT_FDCWD, path, text, strlen(text), 0), "write to %s", path);
}
