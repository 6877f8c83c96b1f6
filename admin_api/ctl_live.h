/* admin_api/ctl_live.h - lists of what gate controllers hold. Threads: one. */
#ifndef ADMIN_API_CTL_LIVE_H
#define ADMIN_API_CTL_LIVE_H

#include <jansson.h>

#include "admin_api/ctl.h"

/* The items of such a list, only those of a node when it is not NULL. Nodes that did not answer are
 * named on stderr; when none did: CTL_UNREACHABLE. */
int live_items(struct ctl *c, const char *path, const char *node, json_t **out);

#endif
