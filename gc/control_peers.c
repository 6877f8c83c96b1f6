/* The other hosts that the configuration of this node names: who is believed by its address, and
 * where emergency calls go when no route is left. */
#include "gc/control_int.h"
#include "gc/worker.h"

void control_op_peers(struct control_ask *a, json_t *answer)
{
    json_t *trusted = json_array(), *hops = json_array();
    char address[NET_TEXT_MAX];
    struct peers_named p;

    workers_peers(a->cfg->workers, &p);
    for (unsigned i = 0; i < p.n_trusted; i++) {
        net_ip_text(&p.trusted[i], address);
        control_add(trusted, json_string(address));
    }
    for (unsigned i = 0; i < p.n_emergency; i++) {
        control_add(hops, json_string(p.emergency[i].uri));
    }
    control_put(answer, "node", control_text(view_of(a->cfg->node)));
    control_put(answer, "trusted", trusted);
    control_put(answer, "emergency_next_hops", hops);
}
