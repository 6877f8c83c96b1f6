/* gc/control.h - the local control socket of headgate: what headgatectl (and later headgate-admin)
 * asks.
 *
 * Wire       Unix stream socket, mode 0660; peer checked by SO_PEERCRED (same uid, root, or the
 * configured group). One JSON object on one line in, one JSON object on one line out, then closed;
 * request <= 4 KiB.
 *              {"op":"status"}              ->
 * {"ok":true,"node":..,"uptime_s":..,"sessions":..,"registrations":..,"calls":..,"postgres":..,"redis":..}
 *              {"op":"changes"}             -> {"ok":true,"change_seq":N,"followed":B}; asks the
 *                                              database at once; B: every worker is there
 *              {"op":"calls","number","line","trunk","state", all optional} ->
 * {"ok":true,"calls":[{"id","call_id","caller","called","state","started","answered","route","worker"}]}
 *              {"op":"call","id":"...","ladder":B,"octets":B} ->
 * {"ok":true,"call":{...},"ladder":[entry...]}   id: our id or the Call-ID; both by default
 *              {"op":"recent","limit":N}    -> {"ok":true,"calls":[...]} ended calls still in the
 * trace rings, newest first
 *              {"op":"registrations"}, {"op":"sessions"} -> lists without keys
 *              {"op":"ps"}                  -> provisioning servers and their health
 *              {"op":"trunks"}              -> {"ok":true,"trunks":[...]}: a row for each address,
 * with its state (up, suspect, down, unknown, removed), and the counts of its trunk
 *              {"op":"peers"}               -> {"ok":true,"node","trusted":[ip...],
 * "emergency_next_hops":[uri...]} of the configuration in force
 *              {"op":"end","id":"...","reason":"..","by":"..","spare_emergency":B}, all but the id
 * optional -> ends a live call with BYE both ways
 *              {"op":"seal_credential","username","algorithm":"SHA-256|MD5","password"},
 *              {"op":"seal_trunk","trunk","user","password"} -> {"ok":true,"sealed":"<hex>"}
 *              {"op":"route","number":"...","from":"...","from_trunk":"...","at":seconds}, all but
 * the number optional -> {"ok":true,"outcome","number","rule","line","targets":[{"route","prefix",
 * "trunk","next_hop","called"}],"steps":[text...]}: what would become of that call
 *              {"op":"events","since":{"NODE":{"start":"..","number":N}}} ->
 * {"ok":true,"start":"..","last":N,"lost":N,"more":B,"events":[...]} calls' events behind that one
 * (call_events.h); without a place of this node: none, only where it is now
 *              {"op":"alarms"}              ->
 * {"ok":true,"alarms":[{"alarm","severity","object","text"}]} what is wrong now
 *              {"op":"preempt","id","who","approved","scope":"call|number|trunk|region",
 * "call"|"number"|"trunk":"..", "prefixes":[..],"max":N,"below":"dsn.flash","dry_run":B} ->
 * {"ok":true,"ended":N,"calls":[{"call","call_id","caller","called","rank","outcome","had_by"}]}
 * (gc/preempt.h)
 *              {"op":"emergency"}           -> {"ok":true,"emergency_modes":[{"id","scope",
 * "share","declared_by","declared_at","ends_at","reason"}]} in force; status has them too
 *            Errors: {"ok":false,"error":"..."}. A list that was cut has "truncated":true.
 * Ladder     entry: {"at_us","from","to","text" (start
 * line),"mac":"ok|none|bad|replay|psk|digest|made|-","note" (routing decision), "octets" (whole
 * message, key material in SDP replaced)} Limits     CONTROL_CLIENTS at a time: the next takes the
 * place of whoever was silent longest; CONTROL_CLIENT_MS for one request and its answer, so that
 * nobody can hold a place. Octets that are not UTF-8 or would move a terminal's cursor are shown as
 * '?'. Threads    one of its own between control_start() and control_stop(). */
#ifndef GC_CONTROL_H
#define GC_CONTROL_H

#include "base/err.h"

#define CONTROL_REQUEST_MAX 4096
#define CONTROL_CLIENTS     32
#define CONTROL_CLIENT_MS   5000

struct control;
struct call_events;
struct certs;
struct dialplan;
struct location;
struct route;
struct secret;
struct store;
struct trunk;
struct workers;

struct control_cfg {          /* all borrowed, and outlive the control socket */
    const char *path, *group; /* group "": none */
    const char *node;
    unsigned n_workers;
    struct workers *workers;
    struct store *store;
    const struct location *location;
    const struct dialplan *dialplan;
    const char *domain;
    /* As in struct route_query; NULL: all routes can be used. Control thread. */
    const char *(*route_usable)(void *arg, const struct route *r, const struct trunk *t);
    void *route_arg;
    struct call_events *events; /* NULL: none are kept */
    const struct certs *certs;  /* NULL: none are watched */
    /* The same questions through Redis (gc/command.h): command_key NULL or empty: not. Copied. */
    const struct secret *command_key;
    const char *redis, *redis_user, *redis_password; /* as in base/redis.h */
};

/* E_NOTFOUND: no such group; E_EXISTS: another process answers at that path; E_IO. Main thread. */
MUST_CHECK enum err control_start(const struct control_cfg *cfg, struct control **out);
void control_stop(struct control *c);
/* Before anything is opened: E_EXISTS when another process answers at that path, or it is no
 * socket. */
MUST_CHECK enum err control_probe(const char *path);

#endif
