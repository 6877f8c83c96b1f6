/* routing/snapshot_int.h - what the parts of the snapshot share; for routing/snapshot*.c alone.
 * Parts      snapshot.c (rows of subscribers, building, overlays), snapshot_plan.c (rows that
 * operators type, and credentials), snapshot_file.c (the file, through the public header). */
#ifndef ROUTING_SNAPSHOT_INT_H
#define ROUTING_SNAPSHOT_INT_H

#include "routing/snapshot.h"

#define SNAPSHOT_NONE SIZE_MAX

enum table {
    LINES,
    NUMBERS,
    BTIS,
    NEXT_HOPS,
    EMERGENCIES,
    TRUNKS,
    TRUNK_NAMES,
    RULES,
    CREDENTIALS,
    TABLES
};

struct index {
    uint32_t *slots; /* row + 1; 0: free. At least half are free. */
    size_t mask;
};

struct snapshot {
    uint64_t change_seq;
    uint8_t hash_key[16];
    struct line *lines;
    struct number_row *numbers;
    struct bti_row *btis;
    struct route *routes; /* sorted: rows of one kind and prefix stand together, best first */
    struct trunk *trunks;
    struct dial_rule *rules; /* sorted as routes are */
    struct emergency_mode *modes;
    struct credential *credentials; /* the octet after a username is its algorithm: the key */
    size_t n_lines, n_numbers, n_btis, n_routes, n_trunks, n_rules, n_credentials, n_modes;
    size_t left_out; /* rows */
    struct index index[TABLES];
    /* of next hop routes, emergency routes, rules: bit n set when some prefix has n octets */
    uint64_t prefix_lengths[3];
    char *text;
    size_t text_n, text_max;
    /* an overlay: rows above are looked for first */
    const struct snapshot *under; /* NULL: none */
    uint64_t *masked_lines;
    uint8_t (*masked_btis)[16];
    size_t n_masked_lines, n_masked_btis, lines_in_all;
    bool has_plan; /* trunks, routes, rules and modes are its own */
};

struct snapshot_making {
    struct snapshot *s;
    const struct snapshot_input *in;
    char *why;
    size_t why_bytes;
};

/* snapshot.c */
size_t snapshot_find(const struct snapshot *s, enum table t, struct view key); /* or NONE */
bool snapshot_add(struct snapshot *s, enum table t, size_t row); /* false: the key is there */
struct view snapshot_keep(struct snapshot *s, struct view v);
struct view snapshot_keep_name(struct snapshot *s, struct view v);
bool snapshot_masks_line(const struct snapshot *s, uint64_t line_id);

/* snapshot_plan.c: what makes no sense is logged and left out. */
size_t snapshot_plan_text(const struct snapshot_input *in); /* octets of text at most */
void snapshot_take_plan(struct snapshot *s, const struct snapshot_input *in);
void snapshot_take_service(struct snapshot *s, struct line *l); /* l is a copy of the row */
void snapshot_take_credentials(struct snapshot *s, const struct snapshot_input *in);

#endif
