/*
 * The shim: stands on the host for one process in a pod VM. It holds the standard streams that the caller of the
 * OCI runtime gave, carries them to and from the pod's supervisor, passes on signals and terminal sizes, and ends
 * as the process in the VM does. conmon, containerd's shim and podman wait for it as for a container's process.
 *
 * One thread per stream, each with a connection of its own, so that a stream whose other end is slow holds up no
 * other. Bytes are counted on both sides: after a supervisor's death the shim connects to the next one, and not a
 * byte is lost or repeated. If none comes, it starts one.
 *
 *   shim [-tf] [-c CONSOLE_SOCKET] DIRECTORY CONTAINER PROCESS [-- PROGRAM ARGUMENT...]
 *
 * DIRECTORY is the pod's; its io.sock is the supervisor's. PROCESS is "-" for the container's own. -t: the streams
 * are a terminal; -c: make one and send its other end there. -f: ends with 128 + signal where a signal ended the
 * process, as a runtime in the foreground does; else by that signal. PROGRAM restarts the supervisor.
 *
 * A connection begins with a line "SKIFFIO1 KIND CONTAINER PROCESS COUNT\n", COUNT being the bytes so far, then:
 *   out, err  to the shim: length (4 bytes), bytes; length 0 is the end. From it: its count (8 bytes), at each write.
 *   in        to the shim: the count that the VM has (8 bytes), first of all and after each progress; all ones: it
 *             wants no more. From it: length (4 bytes), bytes; length 0 is the end.
 *   control   to the shim: exit code and signal (4 bytes each). From it: a kind (1 byte) and two numbers (4 bytes
 *             each): 4 first of all; 1 signal; 2 width and height of the terminal; or 3, length, and why it cannot work.
 * All numbers are big-endian.
 *
 *   shim.c      the process that it stands for: control connection, signals, end; restarts of the supervisor
 *   streams.c   bytes, one thread for each stream;   terminal.c   terminals
 */
#include "shim.h"
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long nobody answers until a supervisor is started, and again after that. */
#define PATIENCE_MS 300
#define PATIENCE_AGAIN_MS 5000

const char *directory, *container, *process;
int terminal = -1;
static char **restart;
static int foreground;

/* Whether the pod is gone for good: its directory is removed last. */
static int pod_is_gone(void)
{
	struct stat status;
	return stat(directory, &status) != 0 && errno == ENOENT;
}

/* Ends as the process in the VM did. */
static void end_as(uint32_t code, uint32_t number)
{
	restore_terminal();
	if (number > 0 && !foreground) {
		struct rlimit none = {0, 0};
		sigset_t set;
		setrlimit(RLIMIT_CORE, &none);
		signal((int)number, SIG_DFL);
		sigemptyset(&set);
		sigaddset(&set, (int)number);
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
		kill(getpid(), (int)number);
		sleep_ms(50);
		code = 128 + number;
	}
	_exit((int)code);
}

void fail(const char *what)
{
	char text[300];
	int length = snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
	int socket = try_connect("control", 0);
	if (socket >= 0 && send_numbers(socket, 3, (uint32_t)length, 0) == 0)
		write_all(socket, text, (size_t)length);
	_exit(125);
}

/* Starts a supervisor, unless another shim of the pod does so. */
static void start_supervisor(void)
{
	pid_t child;
	if (restart[0] == NULL)
		return;
	child = fork();
	if (child == 0) {
		char path[120];
		int lock, nothing = open("/dev/null", O_RDWR);
		sigset_t none;
		snprintf(path, sizeof path, "%s/restart.lock", directory);
		lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
			_exit(0);
		setsid();
		for (int fd = 0; fd < 3; fd++)
			dup2(nothing, fd);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		/* A grandchild, which nobody here must reap; the lock ends with it, or at its exec. */
		if (fork() == 0) {
			execv(restart[0], restart);
			_exit(127);
		}
		_exit(0);
	}
	if (child > 0)
		waitpid(child, NULL, 0);
}

static int connect_control(void)
{
	long give_up = now_ms() + PATIENCE_MS;
	int fd;
	while ((fd = try_connect("control", 0)) < 0) {
		if (pod_is_gone())
			end_as(137, SIGKILL);
		if (now_ms() > give_up) {
			start_supervisor();
			give_up = now_ms() + PATIENCE_AGAIN_MS;
		}
		sleep_ms(RETRY_MS);
	}
	return fd;
}

/* One control connection. Returns when it broke. */
static void control(int socket, int signals)
{
	struct pollfd p[2] = {{.fd = socket, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	if (send_numbers(socket, 4, 0, 0) < 0 || send_size(socket) < 0)
		return;
	for (;;) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents) {
			uint32_t end[2];
			if (read_all(socket, end, sizeof end) < 0)
				return;
			finish_outputs();
			end_as(be32toh(end[0]), be32toh(end[1]));
		}
		if (p[1].revents) {
			struct signalfd_siginfo info;
			if (read(signals, &info, sizeof info) != sizeof info)
				continue;
			if (info.ssi_signo == SIGWINCH ? send_size(socket) < 0
						       : send_numbers(socket, 1, info.ssi_signo, 0) < 0)
				return;
		}
	}
}

static void usage(void)
{
	fputs("usage: shim [-tf] [-c CONSOLE_SOCKET] DIRECTORY CONTAINER PROCESS [-- PROGRAM ARGUMENT...]\n", stderr);
	_exit(125);
}

static void parse(int argc, char **argv, int *on_terminal, const char **console)
{
	int option;
	while ((option = getopt(argc, argv, "+tfc:")) != -1) {
		if (option == 't')
			*on_terminal = 1;
		else if (option == 'f')
			foreground = 1;
		else if (option == 'c')
			*console = optarg;
		else
			usage();
	}
	if (argc - optind < 3)
		usage();
	directory = argv[optind];
	container = argv[optind + 1];
	process = argv[optind + 2];
	restart = argv + optind + 3;
	if (restart[0] != NULL && strcmp(restart[0], "--") == 0)
		restart++;
}

int main(int argc, char **argv)
{
	const char *console = NULL;
	int on_terminal = 0, signals;
	sigset_t all;
	parse(argc, argv, &on_terminal, &console);
	prctl(PR_SET_NAME, "skiff-vm-shim");
	sigfillset(&all);
	/* What a fault of our own raises must kill us. */
	for (int i = 0; i < 5; i++)
		sigdelset(&all, (int[]){SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS}[i]);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* Children are reaped where they are made; stops and writes from the background are ours alone. */
	for (int i = 0; i < 5; i++)
		sigdelset(&all, (int[]){SIGCHLD, SIGPIPE, SIGTTOU, SIGTTIN, SIGTSTP}[i]);
	signals = signalfd(-1, &all, SFD_CLOEXEC);
	if (console != NULL)
		make_console(console);
	else if (on_terminal && isatty(0)) {
		terminal = 0;
		make_raw(0, 1);
	}
	/* A terminal's errors come with its output. */
	start_threads(on_terminal || console != NULL ? 1 : 2);
	for (;;) {
		int socket = connect_control();
		control(socket, signals);
		close(socket);
		sleep_ms(RETRY_MS);
	}
}
