/* The shim's terminal: the caller's own, or one that it makes and sends away. */
#include "shim.h"
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved_mode;
static int restore_mode;

int send_numbers(int socket, unsigned char kind, uint32_t a, uint32_t b)
{
	unsigned char message[9] = {kind};
	a = htobe32(a);
	b = htobe32(b);
	memcpy(message + 1, &a, 4);
	memcpy(message + 5, &b, 4);
	return write_all(socket, message, sizeof message);
}

int send_size(int socket)
{
	struct winsize size;
	if (terminal < 0 || ioctl(terminal, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 0;
	return send_numbers(socket, 2, size.ws_col, size.ws_row);
}

void restore_terminal(void)
{
	if (restore_mode)
		tcsetattr(terminal, TCSANOW, &saved_mode);
}

/* Every byte goes to the terminal in the VM, which echoes and edits. */
void make_raw(int fd, int restore)
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
void make_console(const char *path)
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
