/* Brings up the machine: mounts, modules, cgroups. What cannot be done without ends the process, and so the VM. */
#include <dirent.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "agent.h"

static void must(bool fine, const char *what) {
  if (fine) return;
  fprintf(stderr, "skiff agent: cannot %s: %s\n", what, strerror(errno));
  abort();
}

/*
 * The initial file system is the one root that pivot_root (2) refuses to leave. A bind mount of it, moved over it, is
 * an ordinary mount: the OCI runtime then works as on any machine.
 */
static void leave_initial_root(void) {
  mkdir("/.root", 0755);
  must(mount("/", "/.root", NULL, MS_BIND, NULL) == 0, "bind the root");
  must(chdir("/.root") == 0, "enter the root");
  must(mount(".", "/", NULL, MS_MOVE, NULL) == 0, "move the root");
  must(chroot(".") == 0 && chdir("/") == 0, "change the root");
}

static void mount_at(const char *type, const char *target, unsigned long flags, const char *data) {
  mkdir(target, 0755);
  if (mount(type, target, type, flags, data) < 0 && errno != EBUSY) must(false, target);
}

static void mount_systems(void) {
  const unsigned long safe = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  mount_at("proc", "/proc", safe, NULL);
  mount_at("sysfs", "/sys", safe, NULL);
  mount_at("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
  mount_at("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666");
  mount_at("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
  mount_at("mqueue", "/dev/mqueue", safe, NULL);
  mount_at("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
  mount_at("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
  mount_at("cgroup2", "/sys/fs/cgroup", safe, NULL);
  must(mount(NULL, "/", NULL, MS_SHARED | MS_REC, NULL) == 0, "share mounts");
}

/* Devices that programs expect and the kernel leaves to user space. */
static void link_devices(void) {
  (void)!symlink("/proc/self/fd", "/dev/fd");
  (void)!symlink("fd/0", "/dev/stdin");
  (void)!symlink("fd/1", "/dev/stdout");
  (void)!symlink("fd/2", "/dev/stderr");
}

/* Hands every controller to the pod's groups; all at once, since the kernel goes through the groups for each order. */
static void enable_controllers(const char *directory) {
  char path[MAX_PATH], names[512], orders[2 * sizeof(names)];
  size_t size = 0;
  snprintf(path, sizeof(path), "%s/cgroup.controllers", directory);
  if (read_file(path, names, sizeof(names)) <= 0) return;
  snprintf(path, sizeof(path), "%s/cgroup.subtree_control", directory);
  char *rest = names;
  for (char *name; (name = strsep(&rest, " \n")) != NULL;)
    if (name[0] != 0) size += (size_t)snprintf(orders + size, sizeof(orders) - size, "+%s ", name);
  write_text(path, orders);
}

static bool load_module(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool fine = syscall(SYS_finit_module, fd, "", 0) == 0 || errno == EEXIST;
  int number = errno;
  close(fd);
  errno = number;
  return fine;
}

/* Loads the modules that /modules/<group>.list names, in its order; once, since the kernel reads a module that it has. */
bool load_modules(const char *group, struct failure *failure) {
  static char loaded[256] = " ";
  char path[MAX_PATH], names[4096];
  snprintf(path, sizeof(path), " %s ", group);
  if (strstr(loaded, path) != NULL) return true;
  snprintf(path, sizeof(path), "/modules/%s.list", group);
  if (read_file(path, names, sizeof(names)) < 0) return fail(failure, errno, "no modules for %s", group);
  char *rest = names;
  for (char *name; (name = strsep(&rest, "\n")) != NULL;) {
    if (name[0] == 0) continue;
    snprintf(path, sizeof(path), "/modules/%s", name);
    if (!load_module(path)) return fail(failure, errno, "cannot load the module %s", name);
  }
  size_t size = strlen(loaded);
  snprintf(loaded + size, sizeof(loaded) - size, "%s ", group);
  return true;
}

/*
 * Enables the bridges that devices may be added behind, as the first of these would: here a template does it, once for
 * all its clones. Returns whether there is a PCI bus at all.
 */
static bool enable_pci_bridges(void) {
  struct dirent *entry;
  bool any = false;
  DIR *list = opendir("/sys/bus/pci/devices");
  while (list != NULL && (entry = readdir(list)) != NULL) {
    char path[MAX_PATH];
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/enable", entry->d_name);
    write_text(path, "1");
    any = true;
  }
  if (list != NULL) closedir(list);
  return any;
}

/*
 * Devices that were added since boot appear only when somebody looks (services/vm-runtime/hypervisor/types.ts). They
 * are behind one bridge each, filled in order: so look behind the first empty ones only. (Scanning everything by
 * /sys/bus/pci/rescan takes ten times as long.)
 */
void find_new_devices(void) {
  for (unsigned bus = 1; bus < 256; bus++) {
    char device[64], scan[64];
    snprintf(device, sizeof(device), "/sys/bus/pci/devices/0000:%02x:00.0", bus);
    snprintf(scan, sizeof(scan), "/sys/class/pci_bus/0000:%02x/rescan", bus);
    if (access(device, F_OK) == 0) continue;
    if (!write_text(scan, "1") || access(device, F_OK) != 0) return;
  }
}

/*
 * The loopback, which gets its addresses by itself. (By rtnetlink, as the other interfaces, it would take 15 ms under
 * emulation, and a pod need not have others.)
 */
static void bring_up_loopback(void) {
  struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  must(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &loopback) == 0, "bring up the loopback");
  close(fd);
}

void set_up_machine(void) {
  struct failure failure;
  umask(022);
  leave_initial_root();
  mount_systems();
  link_devices();
  setenv("PATH", "/bin:/sbin", 1);
  mkdir("/sys/fs/cgroup/pod", 0755);
  enable_controllers("/sys/fs/cgroup");
  enable_controllers("/sys/fs/cgroup/pod");
  must(make_directories("/run/skiff") && make_directories("/run/crun"), "make directories");
  must(load_modules("base", &failure), "load the modules");
  if (enable_pci_bridges()) load_modules("pci", &failure);
  bring_up_loopback();
}
