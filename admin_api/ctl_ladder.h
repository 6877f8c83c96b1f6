/* admin_api/ctl_ladder.h - a call's messages drawn as a ladder: who stands in columns, messages are
 * arrows between them. Threads: one. */
#ifndef ADMIN_API_CTL_LADDER_H
#define ADMIN_API_CTL_LADDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* ladder: entries as in gc/control.h; octets: each message as it was, too. */
void ctl_print_ladder(FILE *to, const json_t *ladder, bool octets);

#endif
