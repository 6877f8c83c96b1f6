/* agency/lea.h - the parts of headgate-lea among themselves: one message of either channel, how it
 * is shown, what is kept of it. */
#ifndef AGENCY_LEA_H
#define AGENCY_LEA_H

#include <stdbool.h>

#include "base/net.h"
#include "base/tls_cred.h"
#include "lawful_intercept/cdc.h"
#include "lawful_intercept/x2.h"

enum lea_channel { LEA_CDC, LEA_X2, LEA_CHANNELS };
enum { LEA_WHY = 160, LEA_MESSAGE_MAX = 256 * 1024 };

struct lea_message {
    enum lea_channel channel;
    struct cdc_message cdc; /* LEA_CDC */
    struct x2_pdu x2;       /* LEA_X2 */
    struct view octets;     /* all of it */
};

const char *lea_channel_name(enum lea_channel c); /* "cdc", "x2" */
/* The message at the front of octets, into which out points. E_RANGE: the rest of it is missing;
 * E_PARSE: why says where. */
MUST_CHECK enum err lea_read(enum lea_channel channel, struct view octets, struct lea_message *out,
                             char why[LEA_WHY]);
uint64_t lea_at_us(const struct lea_message *m);

/* ---- lea_json.c: a message as an object in a line, to standard output --------------------------
 */
void lea_print_json(const struct lea_message *m);

/* ---- lea_ladder.c: in words, each call by itself -----------------------------------------------
 */
struct ladder;
MUST_CHECK enum err ladder_new(bool json, struct ladder **out);
void ladder_free(struct ladder *l); /* NULL is fine */
/* As it comes. In words a message that comes again is not shown again. */
void ladder_live(struct ladder *l, const struct lea_message *m);
/* To be shown by ladder_print(), in the order of calls and times, once each. E_NOMEM. */
MUST_CHECK enum err ladder_add(struct ladder *l, const struct lea_message *m);
void ladder_print(struct ladder *l, unsigned only); /* only: that call; 0: all */

/* ---- lea_kept.c: the files of a folder, cdc.ber and x2.pdu -------------------------------------
 */
typedef enum err lea_each_fn(void *arg, const struct lea_message *m);
/* A channel's messages, in the order of the file. E_NOTFOUND: nothing was kept. E_RANGE: all are
 * told, and behind them the file ends within one: it is being written, or the writer was killed.
 * E_PARSE: damaged, said on standard error. What fn says ends it. */
MUST_CHECK enum err lea_kept_each(const char *folder, enum lea_channel channel, lea_each_fn *fn,
                                  void *arg);

void lea_kept_path(const char *folder, enum lea_channel channel, char *dst, size_t dst_bytes);
/* Cuts off what is not whole, so that more can be put behind it: the carrier sends it again. */
MUST_CHECK enum err lea_kept_mend(const char *folder, enum lea_channel channel);

/* ---- the commands: exit status -----------------------------------------------------------------
 */
struct lea_take {
    struct net_addr listen[LEA_CHANNELS]; /* family 0: not */
    struct tls_files files;               /* certificate NULL: plain */
    const char *folder;                   /* NULL: nothing is kept */
    bool json;
};
int lea_take(const struct lea_take *t);
int lea_show(const char *folder, unsigned only, bool json);
int lea_voice(const char *folder, const char *capture, const char *out, bool json);

#endif
