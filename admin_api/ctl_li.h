/* admin_api/ctl_li.h - what the commands of officers share (ctl_li*.c). Results are codes of ctl.h.
 * Threads: one. */
#ifndef ADMIN_API_CTL_LI_H
#define ADMIN_API_CTL_LI_H

#include "admin_api/ctl_api.h"

enum { CTL_REASON_MAX = 400 };

/* One thing: as the server has it (-o json), or a line for each column. Takes item over. */
int ctl_li_print(const struct ctl *c, json_t *item, const struct ctl_column *columns);
/* The one whose number is the only argument; what: "order", "agency"; list: its path. */
int ctl_li_one(struct ctl *c, struct ctl_args *a, const char *what, const char *list,
               const struct ctl_column *columns);
/* "--reason TEXT", or of "--reason -" the first line of stdin. */
int ctl_li_reason(struct ctl_args *a, char out[CTL_REASON_MAX + 2]);
/* POST of the JSON object in a file ("-": stdin), and what came of it. */
int ctl_li_post_form(struct ctl *c, const char *path, const char *file,
                     const struct ctl_column *columns);

#endif
