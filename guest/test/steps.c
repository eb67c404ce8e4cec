/*
 * The reader of steps against mutated programs: `steps ROUNDS SEED`. The steps are the real ones, but no system call of
 * theirs reaches the kernel: each gets an answer by chance, so that all of their ways are gone and nothing happens to
 * the machine. What reads beyond a program, or writes beyond its own memory, is found by the sanitizers.
 */
#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include "../launch/launch.h"
#include "chance.h"

#define ROOM (64 * 1024)
#define MANY (100 * 1000)

/* The steps by their numbers, and what each takes: n a number, t a text, l a list of texts, b bytes, u user and groups. */
static const char *const takes[] = {
    NULL, "t", "ttn", "b", "t", "tb", "nt", "n", "", "n", "tt", "n", "t", "tttnnnnt", "tnnnnn", "tt", "t", "t",
    "nnnn", "", "", "nnn", "l", "n", "l", "t", "u", "n", "nnnn", "", "nb", "", "", "", "n", "t",
};
#define COUNT (sizeof(takes) / sizeof(takes[0]))
enum { LOAD = 6, CLONE = 7, TERMINAL = 18, ENVIRONMENT = 22, HOME = 23, FIND = 31, RUN = 33, INCLUDE = 34 };

/* Lists of a program that is stopped are nobody's; and nothing can be looked up without the kernel. */
const char *__asan_default_options(void) { return "detect_leaks=0:symbolize=0:handle_abort=0"; }
const char *__ubsan_default_options(void) { return "symbolize=0:print_stacktrace=1"; }

static jmp_buf stopped;
static long answers; /* to the program that runs */
static bool all_fine; /* every system call succeeds */

/* What steps need of launch.c. */
void stop(int number, const char *format, ...) {
  static volatile size_t said;
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  said += (size_t)vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  longjmp(stopped, number == 0 ? 1 : 2);
}

void must(bool fine, const char *format, ...) {
  (void)format;
  if (!fine) stop(EIO, "%s", format);
}

void tell_ready(void) {}

static struct code kept; /* what `load` finds */

bool read_code(const char *path, struct code *code) {
  assert(strlen(path) < MAX_PATH);
  errno = ENOENT;
  if (!all_fine && chance(3) == 0) return false;
  *code = kept;
  return true;
}

/* Answers a system call in the kernel's place. */
static void answer(int number, siginfo_t *info, void *context) {
  static const int errors[] = {0, 0, 0, 0, ENOENT, EEXIST, EACCES, EINVAL};
  /* A report of a sanitizer, which wants more of the kernel than it gets, or a step that has no end. */
  if (++answers > MANY) _exit(99);
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  (void)number;
  registers[REG_RAX] = all_fine ? 0 : -errors[chance(sizeof(errors) / sizeof(errors[0]))];
  if (info->si_syscall == SYS_write && registers[REG_RAX] == 0) registers[REG_RAX] = registers[REG_RDX];
}

/* Only what memory, reports (to 1 and 2) and the end need is the kernel's. */
static void cut_off_kernel(void) {
  static const int allowed[] = {SYS_mmap,    SYS_munmap,      SYS_mremap,  SYS_brk,          SYS_madvise,      SYS_mprotect,
                                SYS_futex,   SYS_exit,    SYS_exit_group,   SYS_rt_sigreturn, SYS_rt_sigaction,
                                SYS_gettid,  SYS_sigaltstack, SYS_getpid,  SYS_rt_sigprocmask, SYS_tgkill};
  enum { ALLOWED = sizeof(allowed) / sizeof(allowed[0]) };
  struct sock_filter code[ALLOWED + 6] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  size_t size = 1;
  for (size_t i = 0; i < ALLOWED; i++)
    code[size++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i], (uint8_t)(ALLOWED + 3 - i), 0);
  code[size++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 2);
  code[size++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args));
  code[size++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 0, 1, 0);
  code[size++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
  code[size++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {(unsigned short)size, code};
  struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER};
  assert(sigaction(SIGSYS, &action, NULL) == 0);
  assert(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  assert(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* Programs are written into memory that is large enough for each. */
struct writer {
  uint8_t bytes[ROOM];
  size_t size;
};

static void put_number(struct writer *out, uint64_t number) {
  memcpy(out->bytes + out->size, &number, sizeof(number));
  out->size += sizeof(number);
}

static void put_text(struct writer *out) {
  static const char *const parts[] = {"/", "a", "..", "/a/b", "x=", ":", "PATH=", "HOME=", "0::/"};
  for (uint32_t i = chance(chance(50) == 0 ? 900 : 6); i > 0; i--) {
    const char *part = parts[chance(sizeof(parts) / sizeof(parts[0]))];
    memcpy(out->bytes + out->size, part, strlen(part));
    out->size += strlen(part);
  }
  out->bytes[out->size++] = 0;
}

static void put_values(struct writer *out, const char *values) {
  for (; *values != 0; values++) {
    uint32_t count = chance(5);
    if (*values == 'n') put_number(out, chance(4) == 0 ? (uint64_t)chance(UINT32_MAX) << 32 | chance(9) : chance(4));
    if (*values == 't') put_text(out);
    if (*values == 'u') for (int i = 0; i < 3; i++) put_number(out, chance(1000));
    if (*values == 'l' || *values == 'b' || *values == 'u') put_number(out, count);
    for (uint32_t i = 0; i < count && *values == 'l'; i++) put_text(out);
    for (uint32_t i = 0; i < count && *values == 'b'; i++) out->bytes[out->size++] = (uint8_t)chance(256);
    for (uint32_t i = 0; i < count && *values == 'u'; i++) put_number(out, chance(1000));
  }
}

static void put_step(struct writer *out, uint8_t number) {
  out->bytes[out->size++] = number;
  if (number == LOAD || number == INCLUDE) put_number(out, chance(MAX_KEPT));
  put_values(out, number == LOAD ? "t" : number == INCLUDE ? "" : takes[number]);
}

static void write_program(struct writer *out, uint32_t steps) {
  out->size = 0;
  while (steps-- > 0 && out->size < ROOM / 4) put_step(out, (uint8_t)(1 + chance(COUNT - 1)));
}

/* Runs a program as both processes of launch would. @returns whether all of it was done. */
static bool run(const uint8_t *bytes, size_t size) {
  static struct launch it;
  /* In memory of its own size. */
  uint8_t *volatile copy = malloc(size);
  memcpy(copy, bytes, size);
  it = (struct launch){.code = {copy, copy + size}, .state = "/run/crun/some", .root = -1, .group = -1};
  it.init = (pid_t)chance(2);
  answers = 0;
  bool whole = setjmp(stopped) == 0;
  if (whole) run_steps(&it);
  /* The new process's: every `clone` ends a run. */
  while (whole && it.code.at < it.code.end) {
    it.cloned = false;
    run_steps(&it);
  }
  free(copy);
  return whole;
}

/* A step of each kind that can do without others is read to its end, and not beyond. */
static void test_every_step(void) {
  static struct writer out;
  for (uint8_t number = 1; number < COUNT; number++) {
    /* The last wants a device, the others what comes before them. */
    if (number == HOME || number == FIND || number == RUN || number == TERMINAL) continue;
    out.size = 0;
    put_step(&out, number);
    put_step(&out, ENVIRONMENT);
    put_step(&out, CLONE);
    put_step(&out, HOME);
    assert(run(out.bytes, out.size));
    assert(!run(out.bytes, out.size - 1));
  }
}

int main(int count, char **arguments) {
  static struct writer out, included;
  static uint8_t inner[ROOM];
  long rounds = count > 1 ? strtol(arguments[1], NULL, 10) : 1000, whole = 0;
  chance_seed(count > 2 ? strtoull(arguments[2], NULL, 10) : 1);
  cut_off_kernel();
  all_fine = true;
  test_every_step();
  all_fine = false;
  for (long i = 0; i < rounds; i++) {
    write_program(&included, chance(3));
    memcpy(inner, included.bytes, included.size);
    kept = (struct code){inner, inner + mutate(inner, included.size)};
    write_program(&out, 1 + chance(12));
    if (chance(4) != 0) out.size = mutate(out.bytes, out.size);
    if (run(out.bytes, out.size)) whole++;
  }
  printf("fine: %ld rounds, %ld programs to their ends\n", rounds, whole);
  return 0;
}
