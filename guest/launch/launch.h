/*
 * `launch` starts containers and processes in them as a list of steps says, which the host has made of an OCI
 * configuration (services/vm-runtime/agent-client/launch). PID 1 runs it in place of crun, with crun's arguments; it is
 * small and at fixed addresses, so that an emulating hypervisor has little to translate.
 *
 *   launch.c    arguments, the new process, and what became of it
 *   steps.c     the program's bytes, and which step is which
 *   groups.c    cgroups and namespaces, before there is a process
 *   root.c      what a container sees: mounts, devices, masked paths, its terminal
 *   process.c   what a process may: ids, capabilities, system calls; its start
 */
#ifndef SKIFF_LAUNCH_H
#define SKIFF_LAUNCH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MAX_PATH 4096
#define MAX_KEPT 4

/* Bytes of a program that are not done yet. */
struct code {
  const uint8_t *at, *end;
};

struct launch {
  struct code code;
  struct code loaded[MAX_KEPT]; /* what `load` has read, for `include` */
  const char *state;            /* the container's directory of state */
  pid_t init;                   /* for a process in a container: its first one */
  int init_fd;
  int root;    /* what paths of the container start at */
  int fifo;    /* a byte in it starts the container */
  int console; /* a socket that takes the terminal, or -1 */
  int group;   /* the cgroup's directory, or -1 */
  char group_path[MAX_PATH];
  uint64_t clone_flags;
  bool cloned;   /* the parent's steps are done */
  bool included; /* these are the steps of an `include` */
  char **arguments, **environment;
  bool room; /* the environment has room for one more */
  char program[MAX_PATH]; /* the file that `find` found */
};

/* launch.c: ends this process; the words go to whoever waits for it. */
void stop(int number, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));
void must(bool fine, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tell_ready(void);
bool read_code(const char *path, struct code *code);

/* steps.c */
uint64_t take_number(struct launch *it);
const char *take_text(struct launch *it);
struct code take_bytes(struct launch *it);
char **take_texts(struct launch *it, size_t spare);
void run_steps(struct launch *it);

/* The steps: groups.c */
void step_group(struct launch *it);
void step_limit(struct launch *it);
void step_devices(struct launch *it);
void step_join(struct launch *it);
void step_keep(struct launch *it);
void step_load(struct launch *it);
void step_clone(struct launch *it);
void step_enter(struct launch *it);
void step_unshare(struct launch *it);
void step_write(struct launch *it);
/* root.c */
void step_spread(struct launch *it);
void step_root(struct launch *it);
void step_mount(struct launch *it);
void step_device(struct launch *it);
void step_link(struct launch *it);
void step_make(struct launch *it);
void step_mask(struct launch *it);
void step_protect(struct launch *it);
void step_terminal(struct launch *it);
void step_pivot(struct launch *it);
void step_seal(struct launch *it);
/* process.c */
void step_resource(struct launch *it);
void step_environment(struct launch *it);
void step_home(struct launch *it);
void step_arguments(struct launch *it);
void step_directory(struct launch *it);
void step_user(struct launch *it);
void step_bound(struct launch *it);
void step_capabilities(struct launch *it);
void step_no_new_privileges(struct launch *it);
void step_filter(struct launch *it);
void step_find(struct launch *it);
void step_wait(struct launch *it);
void step_run(struct launch *it);

#endif
