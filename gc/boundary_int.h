/* gc/boundary_int.h - what the files of the boundary share; nobody else includes it.
 * Threads    the worker's. */
#ifndef GC_BOUNDARY_INT_H
#define GC_BOUNDARY_INT_H

#include "gc/boundary.h"
#include "gc/boundary_rules.h"

#define BOUNDARY_AS_ENUM(unused, id, name) RULE_##id,
enum boundary_rule_id {
    RULE_NONE,
    BOUNDARY_RULES(BOUNDARY_AS_ENUM, ) /* these have a counter each */
    RULE_PROOF,
    RULE_URIS,
    RULE_BODY,
    RULE_COUNT
};

enum boundary_way { WAY_OUTSIDE_IN, WAY_OUT, WAY_INSIDE_IN, WAYS };
enum boundary_class { CLASS_SETUP, CLASS_DIALOG, CLASS_OTHER, CLASS_RESPONSE, CLASSES };

enum boundary_act {
    PASS,
    REMOVE,
    REFUSE,     /* the request with 403; where nothing can be refused: removed */
    PRIVATE,    /* removed when Privacy asks for "id" */
    USER,       /* removed when Privacy asks for "user" */
    NOT_PEER,   /* removed but towards trunks and provisioning servers */
    FOREIGN,    /* Reason of another protocol than SIP and Q.850: removed */
    CALLS_BACK, /* Priority: psap-callback of anybody but a PSAP: removed */
    UNENTITLED, /* Resource-Priority that its sender may not ask for: 403, 417, 420; where nothing
                   can be refused: removed (priority_gate.h) */
    BLV,        /* P-DCS-OSPS: as REFUSE, unless it is BLV of an operator trunk */
    BARGES,     /* P-DCS-OSPS: as REFUSE, unless it is EI or RING of an operator trunk, where it
                   belongs */
    CRITICAL,   /* Privacy: refused with 500 when a critical level cannot be given */
    OURS,       /* proof that was for us: removed */
    URIS,       /* headers inside of its URIs are looked at */
    USER_URIS,  /* as USER, or else as URIS */
    BODY        /* the body is looked at */
};

struct boundary_rule {
    uint8_t act[WAYS][CLASSES]; /* enum boundary_act */
};

extern const struct boundary_rule boundary_rules[RULE_COUNT];
enum boundary_rule_id boundary_rule_of(enum sip_hdr_id id, struct view name);
const char *boundary_rule_name(enum boundary_rule_id rule);

struct crossing { /* one message on its way from one party to another */
    struct worker *w;
    const struct sip_msg *m;
    const struct party *from, *to; /* to NULL: not known yet, and nobody outside */
    enum boundary_way in;
    enum boundary_class class;
    bool is_out;
};

/* Whether a header goes by what is said of it: its acts in both ways. */
bool boundary_goes(const struct crossing *c, enum boundary_rule_id rule, const struct sip_hdr *h);
void boundary_count(struct worker *w, enum boundary_rule_id rule);

/* boundary_uri.c: headers in the URIs of h. RULE_NONE: none of them has to go. Else the rule of the
 * first that has; e NULL: only look; else they are taken out, text kept in *room. RULE_URI_ODD: one
 * cannot be told what it is: with e the header is gone, or the pair. */
enum boundary_rule_id boundary_uris(const struct crossing *c, struct sip_edit *e,
                                    const struct sip_hdr *h, struct sip_text *room);
/* boundary_body.c: RULE_BODY_SIP: lines have to go; RULE_BODY_SIGNALLING, RULE_BODY_OPAQUE: a part
 * that may not pass, RULE_NONE: nothing. With e it is done. */
enum boundary_rule_id boundary_body(const struct crossing *c, struct sip_edit *e,
                                    struct sip_text *room);

#endif
