/**
 * Which system calls a container may make by default: data of the profile that `seccomp.ts` puts together.
 * Allowed is what programs of any kind need and the kernel guards by itself; left out is what reaches beyond a
 * container (kernel modules, clocks, keyrings, raw devices), what is obsolete, and io_uring, whose work no
 * filter sees. Names of syscalls(2); those that a machine's architecture lacks are skipped.
 */
const words = (text: string) => text.trim().split(/\s+/);

/** Allowed whatever the arguments. */
export const allowedCalls: readonly string[] = words(`
_llseek _newselect accept accept4 access adjtimex alarm arch_prctl bind brk capget capset chdir
chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range
creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd
eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate
fanotify_mark fchdir fchmod fchmodat fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync
ftruncate ftruncate64 futex futex_time64 futex_waitv futimesat get_robust_list get_thread_area
getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid
getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid
gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl
ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
lchown lchown32 lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat
lstat64 madvise membarrier memfd_create mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall
mmap mmap2 modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl msgget msgrcv msgsnd
msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat nice oldfstat oldlstat
oldolduname oldstat olduname open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64
process_mrelease pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readdir
readlink readlinkat readv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr
rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask
rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
semtimedop semtimedop_time64 sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list
set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups
setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid
setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr sgetmask shmat
shmctl shmdt shmget shutdown sigaction sigaltstack signal signalfd signalfd4 sigpending sigprocmask
sigreturn sigsuspend socketcall socketpair splice ssetmask stat stat64 statfs statfs64 statx symlink
symlinkat sync sync_file_range sync_file_range2 syncfs sysinfo tee tgkill time timer_create
timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill
truncate truncate64 ugetrlimit umask uname unlink unlinkat utime utimensat utimensat_time64 utimes
vfork vmsplice wait4 waitid waitpid write writev
`);

/** Allowed only to containers that have the capability that guards the call. */
export const callsByCapability: Readonly<Record<string, readonly string[]>> = {
  CAP_BPF: words(`
bpf
`),
  CAP_DAC_READ_SEARCH: words(`
open_by_handle_at
`),
  CAP_PERFMON: words(`
perf_event_open
`),
  CAP_SYSLOG: words(`
syslog
`),
  CAP_SYS_ADMIN: words(`
bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr
move_mount open_tree perf_event_open pivot_root quotactl quotactl_fd setdomainname sethostname setns
syslog umount umount2 unshare
`),
  CAP_SYS_BOOT: words(`
kexec_file_load kexec_load reboot
`),
  CAP_SYS_CHROOT: words(`
chroot
`),
  CAP_SYS_MODULE: words(`
delete_module finit_module init_module
`),
  CAP_SYS_NICE: words(`
get_mempolicy mbind set_mempolicy set_mempolicy_home_node
`),
  CAP_SYS_PACCT: words(`
acct
`),
  CAP_SYS_PTRACE: words(`
kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev
`),
  CAP_SYS_RAWIO: words(`
ioperm iopl
`),
  CAP_SYS_TIME: words(`
clock_settime clock_settime64 settimeofday stime
`),
  CAP_SYS_TTY_CONFIG: words(`
vhangup
`),
};

/** Known and refused: they fail with EPERM, as if the capability were missing. */
export const refusedCalls: readonly string[] = words(`
add_key io_uring_enter io_uring_register io_uring_setup keyctl migrate_pages move_pages nfsservctl
request_key swapoff swapon uselib userfaultfd ustat vm86 vm86old
`);
