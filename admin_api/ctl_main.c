/* headgatectl: the operator's command line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_commands.h"
#include "base/conf.h"
#include "base/proc.h"

struct settings {
    const char *conninfo, *migrations;
    struct ctl_http_cfg http, li;
};

static const struct conf_field fields[] = {
    {"admin.socket", CONF_PATH, offsetof(struct settings, http.socket), "/run/headgate/admin.sock",
     0, 0, "socket of the headgate-admin on this machine, asked unless there is a url"},
    {"admin.url", CONF_TEXT, offsetof(struct settings, http.url), "", 0, 0,
     "https://HOST:PORT of a headgate-admin"},
    {"admin.token_file", CONF_PATH, offsetof(struct settings, http.token_file), "", 0, 0,
     "file with the token to ask with, mode 0600"},
    {"admin.ca", CONF_PATH, offsetof(struct settings, http.ca), "", 0, 0,
     "certificate authorities for url (PEM); else those of the system"},
    {"admin.certificate", CONF_PATH, offsetof(struct settings, http.certificate), "", 0, 0,
     "client certificate (PEM)"},
    {"admin.private_key", CONF_PATH, offsetof(struct settings, http.private_key), "", 0, 0,
     "its private key (PEM)"},
    {"admin.timeout", CONF_MS, offsetof(struct settings, http.timeout_ms), "30s", 100, 600000,
     "how long an answer may take"},
    {"admin.retry", CONF_MS, offsetof(struct settings, http.retry_ms), "10s", 0, 600000,
     "how long to go on asking where the answer is 429 or 503"},
    {"li.socket", CONF_PATH, offsetof(struct settings, li.socket), "/run/headgate-li/li.sock", 0, 0,
     "socket of the headgate-li on this machine, which officers ask unless there is a url"},
    {"li.url", CONF_TEXT, offsetof(struct settings, li.url), "", 0, 0,
     "https://HOST:PORT of a headgate-li"},
    {"li.ca", CONF_PATH, offsetof(struct settings, li.ca), "", 0, 0,
     "certificate authorities for li.url (PEM); else those of the system"},
    {"li.certificate", CONF_PATH, offsetof(struct settings, li.certificate), "", 0, 0,
     "an officer's certificate (PEM); never that of admin.certificate"},
    {"li.private_key", CONF_PATH, offsetof(struct settings, li.private_key), "", 0, 0,
     "its private key (PEM)"},
    {"li.timeout", CONF_MS, offsetof(struct settings, li.timeout_ms), "30s", 100, 600000,
     "how long an answer of headgate-li may take"},
    {"database.conninfo", CONF_TEXT, offsetof(struct settings, conninfo),
     "host=/var/run/postgresql dbname=headgate", 0, 0,
     "libpq connection keywords, as the owner of the database: for migrate alone"},
    {"database.migrations", CONF_PATH, offsetof(struct settings, migrations),
     "/usr/share/headgate/migrations", 0, 0, "folder with NNNN_name.sql"},
};

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
    const struct ctl_command *cmd = ctl_find_command(argc, argv, &words);
    struct ctl_args a;

    if (cmd == NULL) {
        return ctl_fail(CTL_USAGE, "no command '%s'; --help lists them", argv[0]);
    }
    a = (struct ctl_args){argc - words, argv + words};
    if (ctl_flag(&a, "--help")) {
        ctl_command_help(stdout, cmd);
        return CTL_OK;
    }
    int rc = cmd->run(c, &a);

    rc = ctl_say_proposed(c, rc);
    if (rc == CTL_PROPOSED) {
        return CTL_OK;
    }
    return rc == CTL_OK && c->wait ? ctl_in_force(c) : rc;
}

/* "--NAME VALUE" as far as there is one; of two files of settings the one that is asked gets it. */
static void take_http(struct ctl_args *a, struct ctl_http_cfg *to)
{
    const struct {
        const char *name, **to;
    } options[] = {
        {"--socket", &to->socket},           {"--url", &to->url},
        {"--token-file", &to->token_file},   {"--ca", &to->ca},
        {"--certificate", &to->certificate}, {"--private-key", &to->private_key},
    };

    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        *options[i].to = ctl_option(a, options[i].name);
    }
}

static void prefer(const char **to, const char *given)
{
    *to = given != NULL ? given : *to;
}

/* Whom the command asks: officers have another server, and other credentials. */
static int choose_server(struct ctl_args *a, const struct settings *s, struct ctl *c)
{
    struct ctl_http_cfg given = {.socket = NULL};
    bool is_li = false;

    take_http(a, &given);
    is_li = a->n > 0 && strcmp(a->v[0], "li") == 0;
    c->base = is_li ? CTL_LI_BASE : CTL_ADMIN_BASE;
    c->http = is_li ? s->li : s->http;
    c->http.server = is_li ? "headgate-li" : "headgate-admin";
    prefer(&c->http.socket, given.socket);
    prefer(&c->http.url, given.url);
    prefer(&c->http.token_file, given.token_file);
    prefer(&c->http.ca, given.ca);
    prefer(&c->http.certificate, given.certificate);
    prefer(&c->http.private_key, given.private_key);
    if (!is_li) {
        return CTL_OK;
    }
    c->http.token_file = ""; /* a token is for headgate-admin, and goes nowhere else */
    return given.token_file != NULL ? ctl_fail(CTL_USAGE, "headgate-li knows no tokens")
           : c->wait                ? ctl_fail(CTL_USAGE, "--wait waits for nothing of an order")
                                    : CTL_OK;
}

static int take_globals(struct ctl_args *a, struct ctl *c, const char **out_config)
{
    const char *format = NULL;

    if (a->n > 0 && (strcmp(a->v[0], "--help") == 0 || strcmp(a->v[0], "-h") == 0)) {
        ctl_usage(stdout);
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
        ctl_usage(stderr);
        return CTL_USAGE;
    }
    conf = load(config, &s);
    c.conninfo = s.conninfo;
    c.migrations = s.migrations;
    rc = choose_server(&a, &s, &c);
    if (rc == CTL_OK) {
        rc = a.n > 0 ? run(&c, a.n, a.v) : ctl_fail(CTL_USAGE, "no command; --help lists them");
    }
    pg_sync_close(c.db);
    conf_free(conf);
    return rc;
}
