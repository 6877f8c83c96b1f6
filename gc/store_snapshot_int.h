/* gc/store_snapshot_int.h - between store_snapshot.c (what changed, the connection), store_rounds.c
 * (reading rows) and store_build.c (making snapshots). All on the store's thread. */
#ifndef GC_STORE_SNAPSHOT_INT_H
#define GC_STORE_SNAPSHOT_INT_H

#include "gc/store_int.h"

/* Routes before trunks: a trunk that a route names is then there when the trunks are read. */
enum round_step {
    ROUND_BTIS,
    ROUND_ACCOUNTS,
    ROUND_LINES,
    ROUND_ROUTES,
    ROUND_TRUNKS,
    ROUND_RULES,
    ROUND_MODES,
    ROUND_END
};

struct changes {
    struct store *s;
    struct pg *pg;
    struct loop_timer debounce, poll, build_soon, save_soon, reap, silence;
    struct keys waiting, round;
    enum round_step step;
    struct patch *plan; /* routes, trunks and rules that are being read; they count when all are */
    struct purge purge;
    bool fetching, polling, closing;
    uint64_t horizon;
    char server[64];      /* when it started: another text is another server */
    struct recent recent; /* the table names what a NOTIFY brought once more */
    struct held *root;    /* the last whole snapshot */
    struct patch *over;   /* rows that were read since */
    bool unshown;         /* rows that no published snapshot has */
    uint64_t over_since_ms, load_order, build_pause_ms;
    struct load *load;
    bool want_load, load_over;
    struct job *builder, *saver;
    struct {
        struct patch *patch;
        struct held *base;
        struct snapshot *made;
        struct losses lost;
        enum err e;
        bool whole;
        uint64_t us, order; /* of the rows that it contains */
        char why[160];
    } build;
    uint64_t not_before_ms; /* after a failure */
    struct held *saving;
    enum err save_result;
    bool unsaved;
};

/* store_snapshot.c */
void changes_go_on(struct changes *c);         /* everything that may be done now, is */
void changes_on_timer(void *changes);          /* the same */
void changes_silence_check(struct changes *c); /* at each question and at each answer */

/* store_rounds.c: reads what the keys that wait name; changes_go_on() when it is over. */
void changes_round(struct changes *c);

/* store_build.c */
void changes_new_root(struct changes *c, struct held *h); /* takes the caller's hold over */
/* What was read lies over the last whole snapshot at once, whatever that one's size. */
MUST_CHECK enum err changes_show(struct changes *c);
/* Each looks whether it is its time. */
void changes_load(struct changes *c);
void changes_build(struct changes *c);
void changes_save(struct changes *c);
uint64_t changes_build_due_ms(const struct changes *c); /* the next whole one; a failure waits */

#endif
