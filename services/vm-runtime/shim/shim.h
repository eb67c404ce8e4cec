/* What the files of the shim share: shim.c says what it is. */
#ifndef SKIFF_SHIM_H
#define SKIFF_SHIM_H
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>

#define RETRY_MS 50

/* shim.c */
extern const char *directory, *container, *process;
extern int terminal; /* the descriptor of a terminal that the streams are, or -1 */
void fail(const char *what);

/* streams.c */
long now_ms(void);
void sleep_ms(long ms);
int write_all(int fd, const void *data, size_t length);
int read_all(int fd, void *data, size_t length);
int try_connect(const char *kind, uint64_t count);
void start_threads(int outputs);
void finish_outputs(void);

/* terminal.c */
void make_raw(int fd, int restore);
void restore_terminal(void);
int send_size(int socket);
int send_numbers(int socket, unsigned char kind, uint32_t a, uint32_t b);
void make_console(const char *path);

#endif
