/* lawful_intercept/book.h - agencies and orders as the officers see them: what each must say, and
 * what becomes of it.
 *
 * Order      47 CFR 1.20004(a) wants six things of every interception: whose line, from when, who
 * of the agency presented the order, who signed it, what kind it is, who of the carrier answers for
 * it. Without each of them nothing is entered. States     entered -> active (another officer
 * approved it) -> over; entered -> refused. An active order that is past its end is over by itself.
 * Nothing is deleted. Shape      JSON objects (docs/lawful-intercept.md), checked here; entries are
 * kept as they are stored. Errors are collected as {"pointer","detail"}. Threads    the caller
 * serialises. */
#ifndef LAWFUL_INTERCEPT_BOOK_H
#define LAWFUL_INTERCEPT_BOOK_H

#include <jansson.h>

#include "base/net.h"
#include "lawful_intercept/order.h"

enum { LI_NAME_MAX = 64, LI_HOST_MAX = 254, LI_TARGET_MAX = 160 };

/* NUMBER: an address whose user part is one, too. */
enum li_target { LI_TARGET_LINE, LI_TARGET_NUMBER, LI_TARGET_BTI, LI_TARGET_URI };

struct li_place { /* where an agency takes one kind of delivery */
    bool is_set, is_plain, is_counted;
    struct net_addr to;
    char tls_name[LI_HOST_MAX];
};

struct li_agency {
    uint64_t id;
    uint32_t version; /* of PCESP */
    struct li_place cdc, x2;
    bool is_retired; /* takes no new orders */
    json_t *json;    /* owned by the book */
};

struct li_entry {
    struct li_order order; /* its line 0 until the directory knew it */
    uint64_t agency;
    enum li_target target;
    char what[LI_TARGET_MAX]; /* number, BTI id, address */
    bool is_active;
    json_t *json;
};

struct li_book;
MUST_CHECK enum err li_book_new(struct li_book **out);
void li_book_free(struct li_book *b); /* NULL is fine */

/* From what was stored. E_PARSE: it is none. */
MUST_CHECK enum err li_book_load_agency(struct li_book *b, const json_t *stored);
MUST_CHECK enum err li_book_load_order(struct li_book *b, const json_t *stored);
size_t li_book_agencies(const struct li_book *b);
const struct li_agency *li_book_agency_at(const struct li_book *b, size_t i);
const struct li_agency *li_book_agency(const struct li_book *b, uint64_t id);
size_t li_book_orders(const struct li_book *b);
struct li_entry *li_book_order_at(const struct li_book *b, size_t i);
struct li_entry *li_book_order(const struct li_book *b, uint64_t id);

/* A new object from an officer's form: a new reference to what is to be stored, or NULL and errors
 * (an array that is given) say why. who: the officer; now_us: wall. Nothing changes in the book
 * until it is stored and loaded. */
json_t *li_form_agency(const struct li_book *b, const json_t *form, const char *who,
                       uint64_t now_us, json_t *errors);
json_t *li_form_order(const struct li_book *b, const json_t *form, const char *who, uint64_t now_us,
                      json_t *errors);
/* What the entry becomes. reason: words of the officer. E_STATE: not in its state; E_DENIED: the
 * officer who entered it cannot approve it. */
enum li_act { LI_APPROVE, LI_REFUSE, LI_END };
MUST_CHECK enum err li_act_on(const struct li_entry *entry, enum li_act act, const char *who,
                              const char *reason, uint64_t now_us, json_t **out);
/* What an agency becomes. Its address or version is changed, and it is retired, by two officers:
 * one proposes (form: the members that change; {"reason"}), another approves the proposal of that
 * number ({"change"}), or anybody refuses it ({"change","reason"}). What was is kept in
 * "history". E_PARSE: errors say why; E_STATE: another proposal waits, none of that number does, it
 * is retired, or an order of it is not over; E_DENIED: the proposer cannot approve; E_RANGE: its
 * history is full. */
enum li_agency_act { LI_AGENCY_CHANGE, LI_AGENCY_RETIRE, LI_AGENCY_APPROVE, LI_AGENCY_REFUSE };
enum { LI_AGENCY_CHANGES_MAX = 16 };
MUST_CHECK enum err li_agency_act_on(const struct li_book *b, const struct li_agency *agency,
                                     enum li_agency_act act, const json_t *form, const char *who,
                                     uint64_t now_us, json_t *errors, json_t **out);
const char *li_state_of(const struct li_entry *entry, uint64_t now_us); /* "entered" ... */

/* RFC 3339 in UTC, to the second. */
bool li_time_read(const char *text, uint64_t *out_us);
void li_time_write(uint64_t us, char out[24]);

#endif
