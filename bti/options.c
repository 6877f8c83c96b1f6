/* The command line. */
#include "bti/options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

enum option_kind { OPT_TEXT, OPT_FLAG, OPT_UINT, OPT_IP, OPT_ADDRESS, OPT_SPECIAL };
enum {
    ON_ENROLL = 1,
    ON_CALL = 2,
    ON_LISTEN = 4,
    ON_STATUS = 8,
    ON_CREDENTIALS = 16,
    ON_ALL = 31,
    ON_PHONE = ON_CALL | ON_LISTEN
};

struct option_row {
    const char *name;
    enum option_kind kind;
    unsigned on;
    size_t offset;
    unsigned max; /* OPT_UINT */
};

typedef enum err special_fn(struct options *o, char *value);

#define AT(field) offsetof(struct options, field)
static const struct option_row rows[] = {
    {"--store", OPT_TEXT, ON_ALL, AT(store), 0},
    {"--passphrase-file", OPT_TEXT, ON_ALL, AT(passphrase_file), 0},
    {"--local", OPT_IP, ON_ALL, AT(local), 0},
    {"--machine", OPT_FLAG, ON_ALL, AT(machine), 0},
    {"--log-level", OPT_SPECIAL, ON_ALL, 0, 0},
    {"--root", OPT_TEXT, ON_ENROLL, AT(root), 0},
    {"--domain", OPT_TEXT, ON_ENROLL, AT(domain), 0},
    {"--ps-name", OPT_TEXT, ON_ENROLL, AT(ps_name), 0},
    {"--work-order-file", OPT_TEXT, ON_ENROLL, AT(work_order_file), 0},
    {"--digits", OPT_SPECIAL, ON_ENROLL, 0, 0},
    {"--symmetric", OPT_FLAG, ON_ENROLL, AT(symmetric), 0},
    {"--only-256", OPT_FLAG, ON_ENROLL, AT(only_256), 0},
    {"--force", OPT_FLAG, ON_ENROLL, AT(force), 0},
    {"--mac", OPT_SPECIAL, ON_ENROLL, 0, 0},
    {"--digits-inband", OPT_FLAG, ON_ENROLL | ON_PHONE, AT(digits_inband), 0},
    {"--record", OPT_TEXT, ON_ENROLL | ON_PHONE, AT(record), 0},
    {"--gc", OPT_SPECIAL, ON_ENROLL | ON_PHONE, 0, 0},
    {"--transport", OPT_SPECIAL, ON_ENROLL | ON_PHONE, 0, 0},
    {"--ps", OPT_ADDRESS, ON_PHONE | ON_CREDENTIALS, AT(ps), 0},
    {"--from", OPT_TEXT, ON_PHONE, AT(from), 0},
    {"--audio", OPT_SPECIAL, ON_PHONE, 0, 0},
    {"--send-digits", OPT_TEXT, ON_PHONE, AT(send_digits), 0},
    {"--duration", OPT_UINT, ON_PHONE, AT(duration_s), 86400},
    {"--answer-after", OPT_UINT, ON_LISTEN, AT(answer_after_ms), 180000},
    {"--reject", OPT_UINT, ON_LISTEN, AT(reject), 699},
    {"--max-calls", OPT_UINT, ON_LISTEN, AT(max_calls), 1000000},
    {"--expires", OPT_UINT, ON_LISTEN, AT(expires_s), 86400},
    {"-o", OPT_SPECIAL, ON_STATUS | ON_CREDENTIALS, 0, 0},
};
#undef AT

const char *options_usage(void)
{
    return "bti - a software broadband telephony interface\n\n"
           "usage: bti enroll --root FILE --gc IP[:PORT] --domain NAME [--work-order-file FILE|-]\n"
           "       bti call NUMBER [--audio file:F.wav|tone|pipe|silence] [--duration SECONDS]\n"
           "       bti listen [--answer-after MS] [--reject STATUS] [--max-calls N]\n"
           "       bti status [-o json]\n"
           "       bti credentials [-o json] [--ps IP:PORT]\n\n"
           "all:     --store FILE  --passphrase-file FILE  --local IP  --machine  --log-level L\n"
           "enroll:  --transport udp|tcp  --ps-name NAME  --digits-inband  --symmetric\n"
           "         --only-256  --mac ADDRESS  --record FILE  --force\n"
           "call and listen:  --transport tls|tcp|udp  --gc IP[:PORT] ...  --ps IP:PORT\n"
           "         --from NUMBER\n"
           "         --audio WHAT  --record FILE  --send-digits DIGITS  --digits-inband\n"
           "         --duration SECONDS\n"
           "listen:  --expires SECONDS\n\n"
           "exit: 0 done, 1 failed here, 3 refused, 4 certificate refused, 5 cannot reach,\n"
           "      6 not enrolled, 7 busy or not answered, 8 no such number, 9 not permitted,\n"
           "      10 interrupted, 64 usage\n";
}

enum err options_digits(struct view text, bool decimal_only, char *dst, size_t dst_bytes,
                        size_t *out_n)
{
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool other = !decimal_only && c != 0 && strchr("*#ABCD", c) != NULL;
        if (c == ' ' || c == '-' || c == '\t' || c == '\r' || c == '\n') {
            continue;
        }
        if (!is_digit((unsigned char)c) && !other) {
            return FAIL(E_PARSE);
        }
        if (n + 1 >= dst_bytes) {
            return FAIL(E_RANGE);
        }
        dst[n++] = c;
    }
    if (n == 0) {
        return FAIL(E_PARSE);
    }
    dst[n] = 0;
    *out_n = n;
    return E_OK;
}

static enum err take_audio(struct options *o, char *value)
{
    if (strcmp(value, "tone") == 0) {
        o->audio = AUDIO_TONE;
    } else if (strcmp(value, "pipe") == 0) {
        o->audio = AUDIO_PIPE;
    } else if (strcmp(value, "silence") == 0) {
        o->audio = AUDIO_SILENCE;
    } else if (strncmp(value, "file:", 5) == 0 && value[5] != 0) {
        o->audio = AUDIO_FILE;
        o->audio_file = value + 5;
    } else {
        return FAIL(E_PARSE);
    }
    return E_OK;
}

static enum err take_transport(struct options *o, char *value)
{
    o->has_transport = true;
    if (strcmp(value, "udp") == 0) {
        o->transport = SIP_UDP;
    } else if (strcmp(value, "tcp") == 0) {
        o->transport = SIP_TCP;
    } else if (strcmp(value, "tls") == 0) {
        o->transport = SIP_TLS;
    } else {
        return FAIL(E_PARSE);
    }
    return E_OK;
}

static enum err take_digits(struct options *o, char *value)
{
    size_t n = 0;
    enum err e = options_digits(view_of(value), true, o->digits, sizeof o->digits, &n);

    wipe(value, strlen(value)); /* not in /proc/PID/cmdline for longer than it takes to get here */
    return e;
}

static enum err take_mac(struct options *o, char *value)
{
    struct cursor c = cursor_over(view_of(value));
    enum err e = E_OK;

    for (size_t i = 0; i < sizeof o->mac; i++) {
        if (i > 0) {
            TRY(cur_lit(&c, VIEW(":")));
        }
        TRY(cur_hex(&c, &o->mac[i], 1));
    }
    o->has_mac = cur_done(&c);
    e = o->has_mac ? E_OK : FAIL(E_PARSE);
out:
    return e;
}

/* An enrolment has one; whoever calls or listens may be told several. */
static enum err take_gate(struct options *o, char *value)
{
    struct net_addr a;
    enum err e = net_parse(view_of(value), 0, &a);

    TRY(e);
    if (o->command == CMD_ENROLL) {
        o->n_gc = 0;
    }
    if (o->n_gc == OPTIONS_GATES) {
        TRY(FAIL(E_RANGE));
    }
    o->gc[o->n_gc++] = a;
out:
    return e;
}

static enum err take_output(struct options *o, char *value)
{
    o->json = strcmp(value, "json") == 0;
    return o->json || strcmp(value, "text") == 0 ? E_OK : FAIL(E_PARSE);
}

static enum err take_log_level(struct options *o, char *value)
{
    return log_level_parse(view_of(value), &o->log_level);
}

static enum err take_special(const char *name, struct options *o, char *value)
{
    static const struct {
        const char *name;
        special_fn *fn;
    } known[] = {{"--audio", take_audio},   {"--transport", take_transport},
                 {"--digits", take_digits}, {"--mac", take_mac},
                 {"-o", take_output},       {"--log-level", take_log_level},
                 {"--gc", take_gate}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, name) == 0) {
            return known[i].fn(o, value);
        }
    }
    return FAIL(E_NOTFOUND);
}

static enum err take(const struct option_row *r, struct options *o, char *value)
{
    char *at = (char *)o + r->offset;
    const char *text = value;
    struct net_addr a = {0};
    uint64_t n = 0;
    enum err e = E_OK;

    switch (r->kind) {
    case OPT_FLAG:
        memcpy(at, &(bool){true}, sizeof(bool));
        break;
    case OPT_TEXT:
        memcpy(at, &text, sizeof text);
        e = value[0] != 0 ? E_OK : FAIL(E_PARSE);
        break;
    case OPT_UINT:
        TRY(view_to_u64(view_of(value), r->max, &n));
        memcpy(at, &(unsigned){(unsigned)n}, sizeof(unsigned));
        break;
    case OPT_IP:
        TRY(net_parse_ip(view_of(value), &a));
        memcpy(at, &a, sizeof a);
        break;
    case OPT_ADDRESS: /* port 0: the transport's own */
        TRY(net_parse(view_of(value), 0, &a));
        memcpy(at, &a, sizeof a);
        break;
    case OPT_SPECIAL:
        e = take_special(r->name, o, value);
        break;
    }
out:
    return e;
}

static enum bti_command command_of(const char *word)
{
    static const struct {
        const char *word;
        enum bti_command command;
    } known[] = {
        {"enroll", CMD_ENROLL}, {"enrol", CMD_ENROLL},      {"call", CMD_CALL},
        {"listen", CMD_LISTEN}, {"status", CMD_STATUS},     {"--help", CMD_HELP},
        {"-h", CMD_HELP},       {"--version", CMD_VERSION}, {"credentials", CMD_CREDENTIALS}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].word, word) == 0) {
            return known[i].command;
        }
    }
    return CMD_NONE;
}

static unsigned bit_of(enum bti_command c)
{
    static const unsigned bits[] = {[CMD_ENROLL] = ON_ENROLL,
                                    [CMD_CALL] = ON_CALL,
                                    [CMD_LISTEN] = ON_LISTEN,
                                    [CMD_STATUS] = ON_STATUS,
                                    [CMD_CREDENTIALS] = ON_CREDENTIALS};

    return bits[c];
}

static const struct option_row *row_of(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

static enum err bad(char *why, const char *fmt, const char *what)
{
    char clean[64];
    size_t n = 0;

    for (; what[n] != 0 && n + 1 < sizeof clean; n++) {
        clean[n] = (unsigned char)what[n] < 0x20 ? '?' : what[n];
    }
    clean[n] = 0;
    n = (size_t)snprintf(why, OPTIONS_WHY_MAX, "%s %s", fmt, clean);
    BUG_ON(n >= OPTIONS_WHY_MAX);
    return FAIL(E_PARSE);
}

static enum err parse_words(int argc, char **argv, struct options *o, char *why)
{
    for (int i = 2; i < argc; i++) {
        const struct option_row *r = row_of(argv[i]);
        char *value = argv[i];
        if (strcmp(argv[i], "--help") == 0) {
            o->command = CMD_HELP;
            return E_OK;
        }
        if (r == NULL && argv[i][0] != '-' && o->command == CMD_CALL && o->number == NULL) {
            o->number = argv[i];
            continue;
        }
        if (r == NULL) {
            return bad(why, "unknown option or word", argv[i]);
        }
        if ((r->on & bit_of(o->command)) == 0) {
            return bad(why, "this command has no option", r->name);
        }
        if (r->kind != OPT_FLAG) {
            if (i + 1 >= argc) {
                return bad(why, "a value is missing after", r->name);
            }
            value = argv[++i];
        }
        if (take(r, o, value) != E_OK) {
            return bad(why, "not a usable value for", r->name);
        }
    }
    return E_OK;
}

static enum err check_number(const char *text, char *why)
{
    size_t n = strlen(text);
    const char *digits = text[0] == '+' ? text + 1 : text;

    if (n == 0 || n >= NUMBER_MAX || digits[0] == 0 ||
        strspn(digits, "0123456789*#") != strlen(digits)) {
        return bad(why, "not a telephone number:", text);
    }
    return E_OK;
}

static enum err check_domain(const char *text, char *why)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !is_digit((unsigned char)c) && c != '.' && c != '-') {
            return bad(why, "not a domain name:", text);
        }
    }
    return n > 0 && n < 254 ? E_OK : bad(why, "not a domain name:", text);
}

static enum err check_enroll(struct options *o, char *why)
{
    if (o->root == NULL) {
        return bad(why, "the provider's root certificate is needed:", "--root FILE");
    }
    if (o->n_gc == 0) {
        return bad(why, "the gate controller is needed:", "--gc IP[:PORT]");
    }
    if (o->domain == NULL) {
        return bad(why, "the provider's domain is needed:", "--domain NAME");
    }
    if (o->transport == SIP_TLS && o->has_transport) {
        return bad(why, "there is no key for TLS before enrolment:", "--transport udp|tcp");
    }
    if (o->digits[0] != 0 && o->work_order_file != NULL) {
        return bad(why, "give one of --digits and", "--work-order-file");
    }
    return check_domain(o->domain, why);
}

static enum err check(struct options *o, char *why)
{
    char digits[64];
    size_t n = 0;
    enum err e = E_OK;

    if (o->command == CMD_CALL && o->number == NULL) {
        return bad(why, "a number to call is needed:", "bti call NUMBER");
    }
    if (o->number != NULL) {
        TRY(check_number(o->number, why));
    }
    if (o->from != NULL) {
        TRY(check_number(o->from, why));
    }
    if (o->reject != 0 && o->reject < 400) {
        return bad(why, "a refusal is 400 to 699:", "--reject");
    }
    if (o->send_digits != NULL &&
        options_digits(view_of(o->send_digits), false, digits, sizeof digits, &n) != E_OK) {
        return bad(why, "up to 63 of 0-9 * # A-D:", "--send-digits");
    }
    if (o->expires_s < 30) {
        return bad(why, "30 seconds is the least:", "--expires");
    }
    if (o->command == CMD_ENROLL) {
        TRY(check_enroll(o, why));
    }
out:
    return e;
}

static enum err defaults(struct options *o, char *why)
{
    const char *home = getenv("HOME");
    int n = 0;

    if (o->store == NULL) {
        if (home == NULL || home[0] == 0) {
            return bad(why,
                       "no home folder, so a place for the key store is needed:", "--store FILE");
        }
        n = snprintf(o->default_store, sizeof o->default_store, "%s/.headgate-bti", home);
        if (n < 0 || (size_t)n >= sizeof o->default_store) {
            return bad(why, "the home folder's name is too long; say", "--store FILE");
        }
        o->store = o->default_store;
    }
    if (!o->has_transport) {
        o->transport = o->command == CMD_ENROLL ? SIP_UDP : SIP_TLS;
    }
    if (o->command == CMD_ENROLL && o->gc[0].port == 0) {
        o->gc[0].port = 5060;
    }
    if (o->ps.family != 0 && o->ps.port == 0) {
        o->ps.port = 7611;
    }
    return E_OK;
}

enum err options_parse(int argc, char **argv, struct options *out, char why[OPTIONS_WHY_MAX])
{
    enum err e = E_OK;

    memset(out, 0, sizeof *out);
    out->log_level = LV_ERROR;
    out->expires_s = 300;
    why[0] = 0;
    if (argc < 2) {
        return bad(why, "what to do?", "enroll, call, listen, status or credentials");
    }
    out->command = command_of(argv[1]);
    if (out->command == CMD_NONE) {
        return bad(why, "unknown command", argv[1]);
    }
    if (out->command == CMD_HELP || out->command == CMD_VERSION) {
        return E_OK;
    }
    TRY(parse_words(argc, argv, out, why));
    if (out->command != CMD_HELP) {
        TRY(check(out, why));
        TRY(defaults(out, why));
    }
out:
    return e;
}
