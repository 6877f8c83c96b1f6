/* admin_api/ctl_diff.h - what became different between two rows of the database, in words. */
#ifndef ADMIN_API_CTL_DIFF_H
#define ADMIN_API_CTL_DIFF_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* "max_cps: 0 -> 3", members in the order of their names, `separator` between. Either may be NULL
 * or null: then "name: value" of each member of the other (member_wise), or its JSON. */
void ctl_diff(const json_t *before, const json_t *after, const char *separator, bool member_wise,
              char *out, size_t max);

#endif
