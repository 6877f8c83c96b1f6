/* bti/options.h - the command line of bti.
 *
 * Errors     E_PARSE with a sentence in `why`.
 * Ownership  texts point into argv.
 * Secrets    only --digits takes one (discouraged in bti(1)): it is copied out and overwritten in
 * argv at once.
 * Threads    one. */
#ifndef BTI_OPTIONS_H
#define BTI_OPTIONS_H

#include "base/log.h"
#include "base/net.h"
#include "signaling/sip_flow.h"

#define WORK_ORDER_MAX 32 /* digits */
#define NUMBER_MAX     32
#define OPTIONS_GATES  4

enum bti_command {
    CMD_NONE,
    CMD_ENROLL,
    CMD_CALL,
    CMD_LISTEN,
    CMD_STATUS,
    CMD_CREDENTIALS,
    CMD_HELP,
    CMD_VERSION
};
enum audio_kind { AUDIO_SILENCE, AUDIO_TONE, AUDIO_PIPE, AUDIO_FILE };

struct options {
    enum bti_command command;
    const char *store; /* never NULL after a parse */
    const char *passphrase_file, *root, *domain, *ps_name, *work_order_file, *record, *from;
    const char *number, *audio_file, *send_digits;
    struct net_addr local;             /* family 0: chosen by the route to the gate controller */
    struct net_addr ps;                /* family 0: from the store */
    struct net_addr gc[OPTIONS_GATES]; /* in the order to be tried; port 0: the transport's own */
    unsigned n_gc;                     /* 0: from the store */
    bool has_transport;
    enum sip_proto transport;
    enum audio_kind audio;
    bool machine, json, force, digits_inband, symmetric, only_256, has_mac;
    uint8_t mac[6];
    unsigned duration_s, answer_after_ms, reject, max_calls, expires_s;
    enum log_level log_level;
    char digits[WORK_ORDER_MAX + 1]; /* a secret: wiped by whoever uses it */
    char default_store[512];
};

#define OPTIONS_WHY_MAX 160
MUST_CHECK enum err options_parse(int argc, char **argv, struct options *out,
                                  char why[OPTIONS_WHY_MAX]);
const char *options_usage(void);
/* Digits 0-9 * # A-D; blanks and dashes between are dropped. E_RANGE: too long, E_PARSE: none or
 * others. */
MUST_CHECK enum err options_digits(struct view text, bool decimal_only, char *dst, size_t dst_bytes,
                                   size_t *out_n);

#endif
