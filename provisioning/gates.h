/* provisioning/gates.h - the gate controllers: their addresses, which of them live, and which two a
 * BTI is assigned (rendezvous hashing: a controller that comes or goes moves only its own BTIs).
 * Threads: one. */
#ifndef PROVISIONING_GATES_H
#define PROVISIONING_GATES_H

#include "base/conf.h"
#include "base/net.h"
#include "provisioning/enrol_ps.h"

#define GATES_MAX          32
#define GATE_ADDRESSES_MAX 4
#define GATE_NAME_MAX      64
#define GATES_ASSIGNED     2

struct gate {
    char name[GATE_NAME_MAX];
    unsigned n;
    struct net_addr address[GATE_ADDRESSES_MAX]; /* the first is what BTIs are told */
    bool live;                                   /* its heartbeat was seen */
};

struct gates {
    unsigned n;
    struct gate gate[GATES_MAX];
};

/* See provisioning/settings.h. *out_bad: the entry at fault. E_PARSE, E_FULL, E_EXISTS. */
MUST_CHECK enum err gates_read(const struct conf_list *list, struct gates *out,
                               const char **out_bad);
/* True when the IP address is one of a gate controller's. */
bool gates_has_ip(const struct gates *g, const struct net_addr *a);
/* Two live ones for the BTI, best first; no live one: of all. */
void gates_assign(const struct gates *g, const uint8_t bti_id[BTI_ID_BYTES],
                  struct enrol_texts *out);

#endif
