/*
 * The agent: process 1 of a pod's microVM. One thread, one epoll loop; the OCI runtime (crun) runs as its child.
 *
 *   main.c        begins, and turns events of the kernel into calls
 *   setup.c       the machine: mounts, modules, cgroups
 *   port.c        the virtio-serial port and what waits to be sent; the greeting of a new host
 *   wire.h        frames.c, proto.c: the protocol's bytes
 *   calls.c       what the host may call, read and dispatched
 *   streams.c     bytes between the port and pipes, terminals and sockets, with credit
 *   processes.c   processes with streams; their ends
 *   children.c    crun and its results
 *   containers.c  a container's life;  cgroup.c  its processes and figures
 *   mounts.c net.c files.c connect.c stats.c  one topic each
 */
#ifndef SKIFF_AGENT_H
#define SKIFF_AGENT_H
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include "wire.h"

#define PROTOCOL_VERSION 2
#define PORT_NAME "skiff.agent"
#define MAX_ID 128
#define MAX_PATH 1024
#define STREAM_ROOM (256 * 1024)
#define MAX_PROCESSES 1024
#define MAX_CONTAINERS 256
#define CRUN "/bin/crun"
#define LAUNCH "/bin/launch"

/* Something that epoll watches. */
struct watch {
  int fd;
  uint32_t events; /* what is asked of epoll now */
  void (*ready)(struct watch *watch, uint32_t events);
};

/* A failure of a call: an errno number, and words for people. */
struct failure {
  int number;
  char text[512];
};

struct process;
struct container;

/* A call of the host. */
struct call {
  uint32_t number, host;
  struct span body;
  struct failure failure;
};

/* Who replies: whoever called the handler, by `failure`, which may be none; or the handler itself, now or later. */
enum answer { BY_FAILURE, BY_ITSELF };
typedef enum answer handler(struct call *call);

/* Bytes one way. `base` <= `sent` <= `end` count from the stream's birth; the ring holds those from `base` to `end`. */
struct stream {
  struct watch watch; /* fd is -1 once closed */
  struct process *process;
  struct stream *next; /* in the list of all streams */
  uint32_t id;
  bool from_guest;
  bool is_socket;
  bool resting; /* from the guest: not read for a moment */
  bool rested;  /* from a terminal: the moment is over, and its parts have gathered */
  bool ended;      /* no byte comes after `end` */
  bool end_told;   /* from the guest: END was sent; to the guest: our end of the pipe was closed */
  uint64_t base, sent, end;
  uint64_t limit;  /* from the guest: what the host allows; to the guest: what was allowed to it */
  uint64_t told;   /* to the guest: what was taken when the host was last told its limit */
  uint8_t *ring;
};

struct process {
  struct process *next;
  uint32_t handle;
  struct container *container; /* NULL for a connection */
  pid_t pid;
  bool terminal, exited;
  int status; /* as waitpid has it */
  uint64_t exited_at;
  uint64_t written[3]; /* of each stream from the guest, when the process ended */
  struct stream streams[3];
};

/* contracts/vm/agent.proto: ContainerState.Status */
enum container_status { CREATING = 1, CREATED, RUNNING, PAUSED, STOPPED };
enum container_wait { WAIT_NONE, WAIT_FROZEN, WAIT_THAWED, WAIT_GONE };

struct container {
  struct container *next;
  char id[MAX_ID];
  enum container_status status;
  struct process *main;
  bool launched;         /* by launch, not by crun */
  char cgroup[MAX_PATH]; /* the directory; empty until it is known */
  int oom_watch;         /* inotify's number, or -1 */
  uint64_t oom_kills;
  enum container_wait wait;
  struct call wait_call;
  uint64_t wait_until; /* milliseconds of the monotonic clock */
};

/* A child that works for a call. `done` gets its exit status; what it wrote to its log is in `text`. */
struct child {
  struct child *next;
  pid_t pid;
  struct call call;
  char id[MAX_ID];
  struct process *process;
  int console; /* the listening socket that a terminal comes by, or -1 */
  char name[32];
  void (*done)(struct child *child, int status, const char *text);
};

/* main.c */
void watch_set(struct watch *watch, uint32_t events);
void watch_close(struct watch *watch);
uint64_t now_ms(void);
uint64_t now_ns(void);
void tick_in(int ms);

/* setup.c */
void set_up_machine(void);
void find_new_devices(void);
bool load_modules(const char *group, struct failure *failure);

/* port.c */
extern struct buffer port_queue;
extern bool host_is_there; /* greeted, and not known to have gone */
extern uint32_t host_number; /* which host this is; 0 before any */
void port_open(void);
void port_flush(void);
size_t port_waiting(void);
void greet(struct span nonce, struct call *call);
void reply(const struct call *call);
enum answer reply_with(const struct call *call, uint32_t field, struct buffer *result);
void event(uint32_t field, const struct buffer *body);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* calls.c */
void handle_frame(const struct frame *frame);

/* streams.c */
void stream_open(struct stream *stream, struct process *process, int number, int fd, bool is_socket);
void stream_close(struct stream *stream);
void stream_data(uint32_t id, struct span data);
void stream_end(uint32_t id);
void stream_credit(uint32_t id, struct span payload);
void stream_reset(uint32_t id);
void streams_rewind(void);
bool streams_send(void);
void streams_tick(void);
void streams_drain(struct process *process);

/* processes.c */
extern struct process *processes;
struct process *process_find(uint32_t handle);
struct process *process_new(uint32_t handle, struct container *container, struct failure *failure);
void process_free(struct process *process);
void process_exited(struct process *process, int status);
void process_learn(struct process *process, pid_t pid);
void process_put(struct buffer *out, const struct process *process);
void reap(void);
void session_signal(pid_t pid, int number);

/* children.c */
struct child *child_new(const struct call *call, const char *id, struct process *process, const char *name);
void child_free(struct child *child);
void child_file(const struct child *child, const char *kind, char *path, size_t size);
bool child_start(struct child *child, const char *program, const char *const *arguments, bool no_input,
                 struct failure *failure);
bool child_ended(pid_t pid, int status);
bool children_run(void);
bool children_work_on(const char *id);
int console_listen(struct child *child, char *path, size_t size, struct failure *failure);
int console_take(struct child *child);
pid_t child_pid(const struct child *child);

/* containers.c */
extern struct container *containers;
struct container *container_find(const char *id);
void container_put(struct buffer *out, const struct container *container);
handler call_create, call_exec, call_start, call_delete, call_pause, call_resume;
struct container *container_named(struct call *call);
void containers_tick(void);
void containers_kill(void);

/* cgroup.c */
void cgroup_learn(struct container *container);
bool cgroup_write(const struct container *container, const char *file, const char *text);
bool cgroup_event_is(const struct container *container, const char *event, char value);
bool cgroup_remove(const char *directory);
int cgroup_signal(const struct container *container, int number);
int cgroup_pids(const struct container *container, pid_t *pids, int room);
void oom_watch_open(void);
void oom_look(struct container *container);
handler call_update;

/* one topic each */
handler call_mount, call_unmount, call_configure, call_clock, call_write_file, call_connect;
handler call_container_stats, call_guest_stats, call_processes;
void mounts_tick(void);
void configure_tick(void);
bool configure_network(const struct list *links, const struct list *routes, struct failure *failure);

/* files.c */
bool fail(struct failure *failure, int number, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool make_directories(const char *path);
bool make_parents(const char *path);
ssize_t read_file(const char *path, char *text, size_t room);
bool write_text(const char *path, const char *text);
bool write_whole(const char *path, struct span data, mode_t mode);
void remove_tree(const char *path);
bool id_is_sound(const char *id);

#endif
