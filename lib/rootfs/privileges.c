/*
 * rootfs/privileges.c (L3) - effective capabilities, and whether they count outside a user namespace: inside one,
 * user 0 cannot make devices nor give files to unmapped ids.
 */
#include "rootfs/privileges.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool has(const struct __user_cap_data_struct data[2], unsigned capability) {
  return data[capability / 32].effective >> (capability % 32) & 1;
}

/* The first user namespace maps all ids to themselves. Without /proc it is taken for that one. */
static bool in_first_namespace(const ims_sys *sys) {
  char text[128];
  int fd = sys->openat(AT_FDCWD, "/proc/self/uid_map", O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0)
    return true;
  ssize_t size = sys->read(fd, text, sizeof text - 1);
  sys->close(fd);
  if (size < 0)
    return true;
  text[size] = '\0';
  unsigned inside, outside, count;
  return sscanf(text, "%u %u %u", &inside, &outside, &count) == 3 && !inside && !outside && count == UINT32_MAX;
}

void ims_privileges_get(const ims_sys *sys, ims_privileges *privileges) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  memset(privileges, 0, sizeof *privileges);
  memset(data, 0, sizeof data);
  if (syscall(SYS_capget, &header, data) != 0)
    return;
  bool first = in_first_namespace(sys);
  privileges->overrides = has(data, CAP_DAC_OVERRIDE);
  privileges->owners = first && has(data, CAP_CHOWN);
  privileges->devices = first && has(data, CAP_MKNOD);
  privileges->xattrs = first && has(data, CAP_SETFCAP);
  privileges->trusted = first && has(data, CAP_SYS_ADMIN);
}
