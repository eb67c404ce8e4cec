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
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define BUFFER 65536
#define RETRY_MS 50
/* How long nobody answers until a supervisor is started, and again after that. */
#define PATIENCE_MS 300
#define PATIENCE_AGAIN_MS 5000
/* How long a silent stream is waited for after the end: a child left behind may hold it open. */
#define LINGER_MS 200

static const char *directory, *container, *process;
static char **restart;
static int terminal = -1;
static struct termios saved_mode;
static int restore_mode;
static int foreground;

struct output {
	const char *kind;
	int fd;
	pthread_t thread;
	atomic_int done, busy;
};
static struct output outputs[2] = {{.kind = "out", .fd = 1}, {.kind = "err", .fd = 2}};
static int output_count = 2;

static long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

/* Writes all of it. Returns -1 when the other side is gone. */
static int write_all(int fd, const void *data, size_t length)
{
	const char *at = data;
	while (length > 0) {
		ssize_t n = write(fd, at, length);
		if (n < 0 && errno == EAGAIN) {
			/* Somebody who shares the file description made it non-blocking. */
			struct pollfd p = {.fd = fd, .events = POLLOUT};
			poll(&p, 1, -1);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

/* Reads exactly that much. Returns -1 at the end or on failure. */
static int read_all(int fd, void *data, size_t length)
{
	char *at = data;
	while (length > 0) {
		ssize_t n = read(fd, at, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

/* One try to connect. Returns the socket, or -1. */
static int try_connect(const char *kind, uint64_t count)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char line[600];
	int fd, length;
	snprintf(address.sun_path, sizeof address.sun_path, "%s/io.sock", directory);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	length = snprintf(line, sizeof line, "SKIFFIO1 %s %s %s %llu\n", kind, container, process,
			  (unsigned long long)count);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && write_all(fd, line, (size_t)length) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Whether the pod is gone for good: its directory is removed last. */
static int pod_is_gone(void)
{
	struct stat status;
	return stat(directory, &status) != 0 && errno == ENOENT;
}

/* Connects, whenever that becomes possible. The main thread sees to it that it does. */
static int connect_stream(const char *kind, uint64_t count)
{
	int fd;
	while ((fd = try_connect(kind, count)) < 0)
		sleep_ms(RETRY_MS);
	return fd;
}

/* One connection of an output. Returns 1 at the end of the stream, 0 when the connection broke. */
static int pump_output(struct output *out, int socket, uint64_t *count, char *buffer)
{
	for (;;) {
		uint32_t length;
		uint64_t report;
		if (read_all(socket, &length, sizeof length) < 0)
			return 0;
		length = be32toh(length);
		if (length == 0)
			return 1;
		if (length > BUFFER)
			return 0;
		atomic_store(&out->busy, 1);
		if (read_all(socket, buffer, length) < 0)
			return 0;
		/* A reader that is gone is no reason to hold up the process: what it writes is dropped. */
		if (out->fd >= 0 && write_all(out->fd, buffer, length) < 0)
			out->fd = -1;
		*count += length;
		atomic_fetch_add(&out->busy, 1);
		report = htobe64(*count);
		if (write_all(socket, &report, sizeof report) < 0)
			return 0;
		atomic_store(&out->busy, 0);
	}
}

static void *run_output(void *argument)
{
	static __thread char buffer[BUFFER];
	struct output *out = argument;
	uint64_t count = 0;
	int ended = 0;
	while (!ended) {
		int socket = connect_stream(out->kind, count);
		ended = pump_output(out, socket, &count, buffer);
		close(socket);
	}
	if (terminal < 0 && out->fd >= 0)
		close(out->fd);
	atomic_store(&out->done, 1);
	return NULL;
}

struct input {
	char buffer[BUFFER];
	/* Bytes [base, base + length) of the stream are kept: the VM may not have them yet. */
	uint64_t base, sent;
	size_t length;
	int ended, end_sent;
};

static int send_kept(struct input *in, int socket)
{
	uint64_t end = in->base + in->length;
	if (in->sent < end) {
		uint32_t count = (uint32_t)(end - in->sent), prefix = htobe32(count);
		if (write_all(socket, &prefix, sizeof prefix) < 0 ||
		    write_all(socket, in->buffer + (in->sent - in->base), count) < 0)
			return -1;
		in->sent = end;
	}
	if (in->ended && !in->end_sent) {
		uint32_t zero = 0;
		if (write_all(socket, &zero, sizeof zero) < 0)
			return -1;
		in->end_sent = 1;
	}
	return 0;
}

/* Takes note of what the VM has. Returns -1 for a broken connection, 1 if it wants no more. */
static int take_count(struct input *in, int socket)
{
	uint64_t count;
	if (read_all(socket, &count, sizeof count) < 0)
		return -1;
	count = be64toh(count);
	if (count == UINT64_MAX)
		return 1;
	if (count < in->base || count > in->base + in->length)
		return -1;
	in->length -= count - in->base;
	memmove(in->buffer, in->buffer + (count - in->base), in->length);
	in->base = count;
	if (in->sent < count)
		in->sent = count;
	return 0;
}

static void read_input(struct input *in)
{
	ssize_t n = read(0, in->buffer + in->length, BUFFER - in->length);
	if (n > 0)
		in->length += (size_t)n;
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		in->ended = 1;
}

/* One connection of the input. Returns 1 if no more is wanted, 0 when the connection broke. */
static int pump_input(struct input *in, int socket)
{
	int taken = take_count(in, socket);
	in->sent = in->base;
	in->end_sent = 0;
	while (taken == 0) {
		struct pollfd p[2] = {{.fd = socket, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
		if (send_kept(in, socket) < 0)
			return 0;
		if (in->ended || in->length == BUFFER)
			p[1].fd = -1;
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents)
			taken = take_count(in, socket);
		if (p[1].revents && in->length < BUFFER)
			read_input(in);
	}
	return taken > 0;
}

static void *run_input(void *argument)
{
	static struct input in;
	int over = 0;
	(void)argument;
	while (!over) {
		int socket = connect_stream("in", in.base);
		over = pump_input(&in, socket);
		close(socket);
	}
	/* Whoever writes to it learns that nobody reads any more. A terminal is output too. */
	if (terminal < 0) {
		int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (nothing > 0)
			dup2(nothing, 0);
	}
	return NULL;
}

static int send_numbers(int socket, unsigned char kind, uint32_t a, uint32_t b)
{
	unsigned char message[9] = {kind};
	a = htobe32(a);
	b = htobe32(b);
	memcpy(message + 1, &a, 4);
	memcpy(message + 5, &b, 4);
	return write_all(socket, message, sizeof message);
}

static int send_size(int socket)
{
	struct winsize size;
	if (terminal < 0 || ioctl(terminal, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 0;
	return send_numbers(socket, 2, size.ws_col, size.ws_row);
}

/* Ends as the process in the VM did. */
static void end_as(uint32_t code, uint32_t number)
{
	if (restore_mode)
		tcsetattr(terminal, TCSANOW, &saved_mode);
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

static void fail(const char *what)
{
	char text[300];
	int length = snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
	int socket = try_connect("control", 0);
	if (socket >= 0 && send_numbers(socket, 3, (uint32_t)length, 0) == 0)
		write_all(socket, text, (size_t)length);
	_exit(125);
}

/* Waits until what was written has been passed on; a stream that is held open in silence is left. */
static void finish_outputs(void)
{
	long quiet = now_ms();
	for (;;) {
		int open = 0, busy = 0;
		for (int i = 0; i < output_count; i++) {
			open |= !atomic_load(&outputs[i].done);
			busy |= atomic_load(&outputs[i].busy) != 0;
		}
		if (!open)
			return;
		if (busy)
			quiet = now_ms();
		if (now_ms() - quiet > LINGER_MS)
			return;
		sleep_ms(1);
	}
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

/* Every byte goes to the terminal in the VM, which echoes and edits. */
static void make_raw(int fd, int restore)
{
	struct termios mode;
	if (tcgetattr(fd, &saved_mode) < 0)
		return;
	mode = saved_mode;
	cfmakeraw(&mode);
	if (tcsetattr(fd, TCSANOW, &mode) == 0)
		restore_mode = restore;
}

static void send_master(const char *path, int master, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec data = {.iov_base = (void *)name, .iov_len = strlen(name)};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (strlen(path) >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		fail("Cannot connect to the console socket");
	}
	strcpy(address.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		fail("Cannot connect to the console socket");
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &master, sizeof master);
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
		fail("Cannot send a terminal to the console socket");
	close(fd);
}

/* Makes a terminal, our controlling one, so that its other end's new sizes reach us as SIGWINCH. */
static void make_console(const char *path)
{
	char name[64];
	int slave, master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, name, sizeof name) != 0)
		fail("Cannot make a terminal");
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		fail("Cannot open a terminal");
	make_raw(slave, 0);
	setsid();
	ioctl(slave, TIOCSCTTY, 0);
	for (int fd = 0; fd < 3; fd++)
		dup2(slave, fd);
	close(slave);
	send_master(path, master, name);
	close(master);
	terminal = 0;
}

static void start_threads(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	if (pthread_create(&thread, &attributes, run_input, NULL) != 0)
		fail("Cannot start a thread");
	for (int i = 0; i < output_count; i++)
		if (pthread_create(&outputs[i].thread, &attributes, run_output, &outputs[i]) != 0)
			fail("Cannot start a thread");
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
	if (on_terminal || console != NULL)
		output_count = 1;
	start_threads();
	for (;;) {
		int socket = connect_control();
		control(socket, signals);
		close(socket);
		sleep_ms(RETRY_MS);
	}
}
