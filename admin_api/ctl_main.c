/* headgatectl: the operator's command line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/ctl.h"
#include "base/conf.h"
#include "base/proc.h"

struct command {
    const char *words; /* one or two */
    const char *args;
    const char *help;
    int (*run)(struct ctl *c, struct ctl_args *a);
};

#define TRUNK_OPTIONS                                                                              \
    "[--port N] [--transport any|udp|tcp|tls] [--auth address|certificate] [--tls-name NAME] "     \
    "[--source NETWORK,...|none] [--trusts-identity yes|no] [--sends-identity yes|no] "            \
    "[--transit yes|no] [--number-form e164|bare|national] [--strip N] [--add DIGITS] "            \
    "[--default-number NUMBER] [--max-channels N] [--max-cps N] [--ping SECONDS] "                 \
    "[--user NAME --password-file FILE|-] [--stir-sign yes|no] [--stir-verify off|mark|reject]"
#define SERVICE_OPTIONS                                                                            \
    "[--caller-id yes|no] [--private yes|no] [--reject-anonymous yes|no] "                         \
    "[--forward-always NUMBER|off] [--forward-busy NUMBER|off] [--forward-no-answer NUMBER|off] "  \
    "[--no-answer-seconds N]"
#define ROUTE_OPTIONS "[--priority N] [--weight N] [--max-channels N] [--time HOURS]"
#define RULE_OPTIONS                                                                               \
    "[--digits N|MIN-MAX|any] [--rank N] [--strip N] [--add KEYS] [--feature yes|no] "             \
    "[--block yes|no]"

static const struct command commands[] = {
    {"migrate", "[--dry-run]", "bring the database schema up to date", ctl_migrate},
    {"migrate status", "", "which migrations are applied", ctl_migrate_status},
    {"pki init", "DIR [--name NAME]", "make a service provider root (key and certificate) in DIR",
     ctl_pki_init},
    {"pki ps", "DIR NAME [--days N]", "issue a provisioning server certificate NAME.pem, NAME.key",
     ctl_pki_ps},
    {"pki gc", "DIR NAME [--days N]", "issue a gate controller certificate", ctl_pki_gc},
    {"pki stir", "DIR NAME --spc CODE|--tn NUMBER [--count N] [--days N]",
     "issue a certificate that signs PASSporTs for a provider code or for numbers", ctl_pki_stir},
    {"key new", "FILE", "write 32 random octets to a new file, mode 0600", ctl_key_new},
    {"account add", "NAME", "new account", ctl_account_add},
    {"account list", "", "accounts", ctl_account_list},
    {"account bar", "ACCOUNT", "only 611 and emergency calls for all its lines", ctl_account_bar},
    {"account unbar", "ACCOUNT", "lift that", ctl_account_unbar},
    {"line add",
     "ACCOUNT NUMBER [--name DISPLAY] [--level user|administrator] [--caller-id yes|no]",
     "new line with its primary number (+E.164)", ctl_line_add},
    {"line list", "", "lines", ctl_line_list},
    {"line bar", "LINE", "only 611 and emergency calls", ctl_line_bar},
    {"line unbar", "LINE", "lift that", ctl_line_unbar},
    {"number add", "LINE NUMBER", "one more number for a line", ctl_number_add},
    {"number remove", "NUMBER", "take a number away", ctl_number_remove},
    {"service show", "LINE|NUMBER", "what a line subscribes to, and where its calls are forwarded",
     ctl_service_show},
    {"service set", "LINE|NUMBER " SERVICE_OPTIONS, "change what the options name",
     ctl_service_set},
    {"workorder new", "LINE [--hours N]", "print a new work-order number, once", ctl_order_new},
    {"workorder list", "", "work orders, without their numbers", ctl_order_list},
    {"workorder cancel", "ID", "make a work order useless", ctl_order_cancel},
    {"bti list", "", "enrolled BTIs", ctl_bti_list},
    {"bti revoke", "BTI", "end a BTI's sessions and registrations now", ctl_bti_revoke},
    {"credential add", "USERNAME LINE [--algorithm sha-256|md5|both] [--password-file FILE]",
     "Digest credentials for a phone of a line; a password that is made is printed, once",
     ctl_credential_add},
    {"credential list", "", "Digest credentials, without what they prove with",
     ctl_credential_list},
    {"credential disable", "USERNAME", "end its registrations and calls, keep the name",
     ctl_credential_disable},
    {"credential enable", "USERNAME", "lift that", ctl_credential_enable},
    {"credential remove", "USERNAME", "the same for good", ctl_credential_remove},
    {"trunk add", "NAME HOST " TRUNK_OPTIONS, "a gateway, PSAP or peer, by address or domain name",
     ctl_trunk_add},
    {"trunk list", "", "trunks", ctl_trunk_list},
    {"trunk show", "NAME", "one trunk", ctl_trunk_show},
    {"trunk set", "NAME [--host HOST] " TRUNK_OPTIONS, "change what the options name",
     ctl_trunk_set},
    {"trunk disable", "NAME", "no new calls to it and from it", ctl_trunk_disable},
    {"trunk enable", "NAME", "lift that", ctl_trunk_enable},
    {"trunk status", "", "addresses of trunks, whether they answer, calls over them (running node)",
     ctl_trunk_status},
    {"trunk remove", "NAME", "take a trunk away that no route uses", ctl_trunk_remove},
    {"route add", "NAME PREFIX (NEXT_HOP | --trunk TRUNK) [--emergency] " ROUTE_OPTIONS,
     "route a prefix to a trunk, or to sip:ADDRESS:PORT", ctl_route_add},
    {"route list", "", "routes", ctl_route_list},
    {"route set", "NAME [--prefix P] [--next-hop URI | --trunk TRUNK] " ROUTE_OPTIONS,
     "change what the options name", ctl_route_set},
    {"route remove", "NAME", "take a route away", ctl_route_remove},
    {"route test", "NUMBER [--from NUMBER | --from-trunk TRUNK] [--at TIME]",
     "what the running gate controller would do with a call, step by step", ctl_route_test},
    {"rule add", "NAME PREFIX " RULE_OPTIONS, "a dial rule, tried before the built-in dial plan",
     ctl_rule_add},
    {"rule list", "", "dial rules", ctl_rule_list},
    {"rule set", "NAME [--prefix P] " RULE_OPTIONS, "change what the options name", ctl_rule_set},
    {"rule remove", "NAME", "take a dial rule away", ctl_rule_remove},
    {"audit list", "[--object 'TABLE KEY'] [--limit N]", "who changed what, newest first",
     ctl_audit_list},
    {"audit verify", "[--head SEQ:HASH]", "whether any row of the log was altered or taken away",
     ctl_audit_verify},
    {"policy list", "", "what needs two people", ctl_policy_list},
    {"policy set", "NAME on|off", "switch a policy; off needs two people", ctl_policy_set},
    {"change list", "[--all]", "changes that wait for another person", ctl_change_list},
    {"change show", "CHANGE", "one change, column by column", ctl_change_show},
    {"change approve", "CHANGE", "make a change that another person proposed", ctl_change_approve},
    {"change reject", "CHANGE", "decline a change, or take one's own back", ctl_change_reject},
    {"status", "", "state of the gate controller", ctl_status},
    {"calls", "[--recent]", "live calls (or the last that ended)", ctl_calls},
    {"call show", "CALL [--ladder] [--octets]", "one call: who, what was decided, every message",
     ctl_call_show},
    {"call end", "CALL", "end a live call on both sides", ctl_call_end},
    {"registrations", "", "where lines are registered", ctl_registrations},
    {"sessions", "", "sessions held (never keys)", ctl_sessions},
    {"ps", "", "provisioning servers and their health", ctl_ps},
    {"cdr list", "[--limit N]", "call records, newest first", ctl_cdr_list},
    {"trace list", "[--line LINE] [--limit N]", "calls that lines had traced (*57), newest first",
     ctl_trace_list},
};

struct settings {
    const char *conninfo, *trace_conninfo, *control, *work_order_key, *migrations;
};

static const struct conf_field fields[] = {
    {"database.conninfo", CONF_TEXT, offsetof(struct settings, conninfo),
     "host=/var/run/postgresql dbname=headgate user=hg_admin", 0, 0, "libpq connection keywords"},
    {"database.trace_conninfo", CONF_TEXT, offsetof(struct settings, trace_conninfo),
     "host=/var/run/postgresql dbname=headgate user=hg_trace", 0, 0,
     "libpq connection keywords for trace list alone"},
    {"control.socket", CONF_PATH, offsetof(struct settings, control), "/run/headgate/control.sock",
     0, 0, "control socket of headgate"},
    {"keys.work_order", CONF_PATH, offsetof(struct settings, work_order_key),
     "/etc/headgate/work_order.key", 0, 0, "work-order key, the same as headgate-prov's"},
    {"database.migrations", CONF_PATH, offsetof(struct settings, migrations),
     "/usr/share/headgate/migrations", 0, 0, "folder with NNNN_name.sql"},
};

static void usage(FILE *to)
{
    fprintf(to, "usage: headgatectl [--config FILE] [-o table|json | --json] [--wait] COMMAND "
                "[ARGUMENTS]\n\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        fprintf(to, "  %s%s%s\n      %s\n", commands[i].words, commands[i].args[0] != 0 ? " " : "",
                commands[i].args, commands[i].help);
    }
    fprintf(to,
            "\n--wait returns when the running gate controller goes by what the command wrote.\n"
            "\nexamples:\n"
            "  headgatectl line add 1 +12125550101 --name 'A. Subscriber'\n"
            "  headgatectl workorder new 1\n"
            "  headgatectl -o json calls --recent\n"
            "  headgatectl call show 7f3a --ladder\n\n"
            "The configuration file is --config, else $HEADGATECTL_CONFIG, else "
            "/etc/headgate/ctl.yaml\n"
            "(%s when it does not exist). Exit: 0 done, 1 refused, 64 usage, 69 unreachable,\n"
            "70 internal, 78 configuration.\n",
            "built-in defaults");
}

/* Longest match wins, so that "migrate status" is not "migrate". */
static const struct command *find(int argc, char **argv, int *out_words)
{
    for (int words = 2; words >= 1; words--) {
        char text[64];
        if (argc < words) {
            continue;
        }
        snprintf(text, sizeof text, "%s%s%s", argv[0], words == 2 ? " " : "",
                 words == 2 ? argv[1] : "");
        for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
            if (strcmp(commands[i].words, text) == 0) {
                *out_words = words;
                return &commands[i];
            }
        }
    }
    return NULL;
}

static struct conf *load(const char *path, struct settings *s)
{
    char why[256];
    struct conf *conf = NULL;

    if (path == NULL) {
        path = getenv("HEADGATECTL_CONFIG");
    }
    if (path == NULL) {
        FILE *f = fopen("/etc/headgate/ctl.yaml", "r");
        path = f != NULL ? "/etc/headgate/ctl.yaml" : NULL;
        if (f != NULL) {
            fclose(f);
        }
    }
    if (conf_load(path, fields, sizeof fields / sizeof fields[0], s, why, sizeof why, &conf) !=
        E_OK) {
        fprintf(stderr, "headgatectl: %s\n", why);
        exit(78);
    }
    return conf;
}

static int run(struct ctl *c, int argc, char **argv)
{
    int words = 0;
    const struct command *cmd = find(argc, argv, &words);
    struct ctl_args a;

    if (cmd == NULL) {
        fprintf(stderr, "headgatectl: no command '%s'; --help lists them\n", argv[0]);
        return CTL_USAGE;
    }
    a = (struct ctl_args){argc - words, argv + words};
    if (ctl_flag(&a, "--help")) {
        printf("usage: headgatectl %s %s\n  %s\n", cmd->words, cmd->args, cmd->help);
        return CTL_OK;
    }
    int rc = cmd->run(c, &a);

    rc = ctl_say_proposed(c, rc);
    if (rc == CTL_PROPOSED) {
        return CTL_OK;
    }
    return rc == CTL_OK && c->wait ? ctl_in_force(c) : rc;
}

static int take_globals(struct ctl_args *a, struct ctl *c, const char **out_config)
{
    const char *format = NULL;

    if (a->n > 0 && (strcmp(a->v[0], "--help") == 0 || strcmp(a->v[0], "-h") == 0)) {
        usage(stdout);
        exit(CTL_OK);
    }
    if (a->n > 0 && strcmp(a->v[0], "--version") == 0) {
        printf("headgatectl %s\n", HEADGATE_VERSION);
        exit(CTL_OK);
    }
    *out_config = ctl_option(a, "--config");
    format = ctl_option(a, "-o");
    if (format != NULL && strcmp(format, "json") != 0 && strcmp(format, "table") != 0) {
        return ctl_fail(CTL_USAGE, "-o takes table or json, not '%s'", format);
    }
    c->json = format != NULL && strcmp(format, "json") == 0;
    c->json = ctl_flag(a, "--json") || c->json;
    c->wait = ctl_flag(a, "--wait");
    return CTL_OK;
}

int main(int argc, char **argv)
{
    struct ctl c = {0};
    struct settings s = {0};
    struct ctl_args a = {argc - 1, argv + 1};
    const char *config = NULL;
    struct conf *conf = NULL;
    int rc = 0;

    proc_harden();
    log_init("headgatectl", LV_WARN);
    rc = take_globals(&a, &c, &config);
    if (rc != CTL_OK) {
        return rc;
    }
    if (a.n == 0) {
        usage(stderr);
        return CTL_USAGE;
    }
    conf = load(config, &s);
    c.conninfo = s.conninfo;
    c.trace_conninfo = s.trace_conninfo;
    c.control = s.control;
    c.work_order_key = s.work_order_key;
    c.migrations = s.migrations;
    rc = run(&c, a.n, a.v);
    pg_sync_close(c.db);
    conf_free(conf);
    return rc;
}
