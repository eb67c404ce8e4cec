/* The shim's streams: one thread for each, with a connection of its own, and the bytes counted. */
#include "shim.h"
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BUFFER 65536
/* How long a silent stream is waited for after the end: a child left behind may hold it open. */
#define LINGER_MS 200

struct output {
	const char *kind;
	int fd;
	pthread_t thread;
	atomic_int done, busy;
};
static struct output outputs[2] = {{.kind = "out", .fd = 1}, {.kind = "err", .fd = 2}};
static int output_count = 2;

long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

/* Writes all of it. Returns -1 when the other side is gone. */
int write_all(int fd, const void *data, size_t length)
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
int read_all(int fd, void *data, size_t length)
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
int try_connect(const char *kind, uint64_t count)
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

/* Waits until what was written has been passed on; a stream that is held open in silence is left. */
void finish_outputs(void)
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

/* The input, and the first so many of the outputs. */
void start_threads(int count)
{
	pthread_attr_t attributes;
	pthread_t thread;
	output_count = count;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	if (pthread_create(&thread, &attributes, run_input, NULL) != 0)
		fail("Cannot start a thread");
	for (int i = 0; i < output_count; i++)
		if (pthread_create(&outputs[i].thread, &attributes, run_output, &outputs[i]) != 0)
			fail("Cannot start a thread");
}
