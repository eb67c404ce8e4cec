/* The pod's interfaces, addresses and routes, by rtnetlink (7). */
#include <arpa/inet.h>
#include <dirent.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include "agent.h"

unsigned if_nametoindex(const char *name);

#define MAX_NAME 16

struct request {
  struct nlmsghdr header;
  union {
    struct ifinfomsg link;
    struct ifaddrmsg address;
    struct rtmsg route;
  };
  uint8_t attributes[512];
};

static void add(struct request *request, uint16_t type, const void *bytes, size_t size) {
  struct rtattr *at = (struct rtattr *)((uint8_t *)request + NLMSG_ALIGN(request->header.nlmsg_len));
  at->rta_type = type;
  at->rta_len = (uint16_t)RTA_LENGTH(size);
  memcpy(RTA_DATA(at), bytes, size);
  request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + (uint32_t)RTA_ALIGN(at->rta_len);
}

static void add_u32(struct request *request, uint16_t type, uint32_t value) { add(request, type, &value, sizeof(value)); }

static void begin(struct request *request, uint16_t type, uint16_t flags, size_t size) {
  memset(request, 0, sizeof(*request));
  request->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
  request->header.nlmsg_type = type;
  request->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
}

/* Sends a request and waits for the kernel's answer; false with errno. */
static bool ask(struct request *request) {
  uint8_t answer[4096] __attribute__((aligned(8)));
  struct nlmsghdr *header = (struct nlmsghdr *)answer;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return false;
  ssize_t size = send(fd, request, request->header.nlmsg_len, 0);
  if (size > 0) size = recv(fd, answer, sizeof(answer), 0);
  int number = errno;
  close(fd);
  if (size >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) && header->nlmsg_type == NLMSG_ERROR)
    number = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
  else if (size > 0)
    number = EBADMSG;
  errno = number;
  return number == 0;
}

static bool set_link(unsigned index, bool up, const char *name, uint32_t mtu) {
  struct request request;
  begin(&request, RTM_NEWLINK, 0, sizeof(request.link));
  request.link.ifi_index = (int)index;
  request.link.ifi_change = IFF_UP;
  request.link.ifi_flags = up ? IFF_UP : 0;
  if (name != NULL) add(&request, IFLA_IFNAME, name, strlen(name) + 1);
  if (mtu != 0) add_u32(&request, IFLA_MTU, mtu);
  return ask(&request);
}

static bool add_address(unsigned index, struct span ip, uint32_t prefix) {
  struct request request;
  begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof(request.address));
  request.address.ifa_family = ip.size == 4 ? AF_INET : AF_INET6;
  request.address.ifa_prefixlen = (uint8_t)prefix;
  request.address.ifa_index = index;
  /* The address was the pod's before the VM's: nobody else can have it. */
  if (ip.size == 16) request.address.ifa_flags = IFA_F_NODAD;
  if (ip.size == 4) add(&request, IFA_LOCAL, ip.at, ip.size);
  add(&request, IFA_ADDRESS, ip.at, ip.size);
  return ask(&request);
}

/* Finds the interface by its address; fills in its present name. */
static unsigned find_link(struct span mac, char *name, size_t size) {
  char path[MAX_PATH], text[64], wanted[32];
  struct dirent *entry;
  unsigned index = 0;
  if (mac.size != 6) return 0;
  const uint8_t *m = mac.at;
  snprintf(wanted, sizeof(wanted), "%02x:%02x:%02x:%02x:%02x:%02x\n", m[0], m[1], m[2], m[3], m[4], m[5]);
  DIR *list = opendir("/sys/class/net");
  while (list != NULL && index == 0 && (entry = readdir(list)) != NULL) {
    snprintf(path, sizeof(path), "/sys/class/net/%s/address", entry->d_name);
    if (read_file(path, text, sizeof(text)) <= 0 || strcmp(text, wanted) != 0) continue;
    snprintf(name, size, "%s", entry->d_name);
    index = if_nametoindex(name);
  }
  if (list != NULL) closedir(list);
  return index;
}

struct address {
  struct span ip;
  uint32_t prefix;
};
static const struct rule address_rules[] = {RULE(address, 1, RULE_SPAN, ip), RULE(address, 2, RULE_U32, prefix)};

static bool read_address(struct span bytes, struct address *address) {
  return READ(bytes, address_rules, address) && (address->ip.size == 4 || address->ip.size == 16) &&
         address->prefix <= address->ip.size * 8;
}

static bool configure_link(struct span bytes, struct failure *failure) {
  static struct link_wish {
    struct span mac;
    char name[MAX_NAME];
    uint32_t mtu;
    struct list addresses;
  } wish;
  static const struct rule rules[] = {RULE(link_wish, 1, RULE_SPAN, mac), RULE(link_wish, 2, RULE_TEXT, name),
                                      RULE(link_wish, 3, RULE_U32, mtu), RULE(link_wish, 4, RULE_LIST, addresses)};
  char now[MAX_NAME];
  struct address address;
  if (!READ(bytes, rules, &wish) || wish.name[0] == 0) return fail(failure, EINVAL, "not an interface");
  unsigned index = find_link(wish.mac, now, sizeof(now));
  if (index == 0) {
    find_new_devices();
    index = find_link(wish.mac, now, sizeof(now));
  }
  if (index == 0) return fail(failure, ENODEV, "no interface has the hardware address of %s", wish.name);
  /* A name can only change while the interface is down; most have the right one. */
  if (strcmp(now, wish.name) != 0 && (!set_link(index, false, NULL, 0) || !set_link(index, false, wish.name, 0)))
    return fail(failure, errno, "cannot rename %s to %s", now, wish.name);
  if (!set_link(index, true, NULL, wish.mtu)) return fail(failure, errno, "cannot bring up %s", wish.name);
  for (size_t i = 0; i < wish.addresses.count; i++) {
    if (!read_address(wish.addresses.items[i], &address)) return fail(failure, EINVAL, "not an address of %s", wish.name);
    if (!add_address(index, address.ip, address.prefix)) return fail(failure, errno, "cannot add an address to %s", wish.name);
  }
  return true;
}

struct route_wish {
  struct span destination, gateway, source;
  char interface[MAX_NAME];
  uint32_t mtu, scope, metric;
  bool onlink;
};
static const struct rule route_rules[] = {
    RULE(route_wish, 1, RULE_SPAN, destination), RULE(route_wish, 2, RULE_SPAN, gateway),
    RULE(route_wish, 3, RULE_TEXT, interface),   RULE(route_wish, 4, RULE_U32, mtu),
    RULE(route_wish, 5, RULE_SPAN, source),      RULE(route_wish, 6, RULE_U32, scope),
    RULE(route_wish, 7, RULE_U32, metric),       RULE(route_wish, 8, RULE_BOOL, onlink),
};

static void add_mtu(struct request *request, uint32_t mtu) {
  uint8_t bytes[RTA_SPACE(sizeof(uint32_t))];
  struct rtattr *inner = (struct rtattr *)bytes;
  inner->rta_type = RTAX_MTU;
  inner->rta_len = RTA_LENGTH(sizeof(mtu));
  memcpy(RTA_DATA(inner), &mtu, sizeof(mtu));
  add(request, RTA_METRICS, bytes, sizeof(bytes));
}

static bool add_route(const struct route_wish *wish, const struct address *to, unsigned index) {
  struct request request;
  begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof(request.route));
  size_t width = to->ip.size != 0 ? to->ip.size : wish->gateway.size;
  request.route.rtm_family = width == 16 ? AF_INET6 : AF_INET;
  request.route.rtm_dst_len = (uint8_t)to->prefix;
  request.route.rtm_table = RT_TABLE_MAIN;
  request.route.rtm_protocol = RTPROT_STATIC;
  request.route.rtm_scope = (uint8_t)wish->scope;
  request.route.rtm_type = RTN_UNICAST;
  request.route.rtm_flags = wish->onlink ? RTNH_F_ONLINK : 0;
  if (to->prefix > 0) add(&request, RTA_DST, to->ip.at, to->ip.size);
  if (wish->gateway.size != 0) add(&request, RTA_GATEWAY, wish->gateway.at, wish->gateway.size);
  if (wish->source.size != 0) add(&request, RTA_PREFSRC, wish->source.at, wish->source.size);
  if (wish->metric != 0) add_u32(&request, RTA_PRIORITY, wish->metric);
  if (wish->mtu != 0) add_mtu(&request, wish->mtu);
  add_u32(&request, RTA_OIF, index);
  return ask(&request);
}

static bool is_address_or_none(struct span ip) { return ip.size == 0 || ip.size == 4 || ip.size == 16; }

static bool configure_route(struct span bytes, struct failure *failure) {
  struct route_wish wish;
  struct address to = {0};
  if (!READ(bytes, route_rules, &wish) || !is_address_or_none(wish.gateway) || !is_address_or_none(wish.source) ||
      (wish.destination.size != 0 && !read_address(wish.destination, &to)) || wish.scope > 255)
    return fail(failure, EINVAL, "not a route");
  unsigned index = if_nametoindex(wish.interface);
  if (index == 0) return fail(failure, ENODEV, "a route needs the interface %s", wish.interface);
  return add_route(&wish, &to, index) || fail(failure, errno, "cannot add a route by %s", wish.interface);
}

/* Interfaces first, then routes, in the order given. */
bool configure_network(const struct list *links, const struct list *routes, struct failure *failure) {
  if (links->count > 0 && !load_modules("net", failure)) return false;
  if (!set_link(1, true, NULL, 0)) return fail(failure, errno, "cannot bring up lo");
  for (size_t i = 0; i < links->count; i++)
    if (!configure_link(links->items[i], failure)) return false;
  for (size_t i = 0; i < routes->count; i++)
    if (!configure_route(routes->items[i], failure)) return false;
  return true;
}
