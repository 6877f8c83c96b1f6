/* "li record", "li verify": what the carrier certifies of an order, and whether a file is that.
 * Verifying asks nobody: a court needs the file, the carrier's public key, and nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_opts.h"
#include "base/ec_sign.h"
#include "base/proc.h"

static int write_new(const char *path, const json_t *value)
{
    struct stat st;
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_SORT_KEYS);
    enum err e = E_OK;

    if (text == NULL || lstat(path, &st) == 0) {
        free(text); /* jansson allocated it */
        return text == NULL ? ctl_fail(CTL_BROKEN, "no memory")
                            : ctl_fail(CTL_REFUSED, "%s exists", path);
    }
    e = proc_write_file(path, 0600, text, strlen(text));
    free(text); /* jansson allocated it */
    return e == E_OK ? CTL_OK : ctl_fail(CTL_BROKEN, "%s: %s", path, err_text(e));
}

int ctl_li_record(struct ctl *c, struct ctl_args *a)
{
    const char *file = ctl_option(a, "--file");
    char path[CTL_PATH_MAX], id[CTL_ID_MAX];
    json_t *record = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, "li record ORDER [--file FILE]");
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], "order", id);
    }
    if (o.rc == CTL_OK) {
        snprintf(path, sizeof path, "/orders/%s/record", id);
        o.rc = ctl_get(c, path, &record);
    }
    if (o.rc == CTL_OK && file != NULL) {
        o.rc = write_new(file, record);
    } else if (o.rc == CTL_OK) {
        ctl_print_json(stdout, record);
    }
    json_decref(record);
    return o.rc;
}

/* ---- verifying ---------------------------------------------------------------------------------
 */
/* The signature is over the record's text with sorted keys and no spaces. */
static bool is_signed(const json_t *file, const struct ec_public *key)
{
    const char *hex = json_string_value(json_object_get(file, "signature"));
    const json_t *record = json_object_get(file, "record");
    char *text = json_is_object(record) ? json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    uint8_t signature[EC_SIGNATURE_BYTES];
    bool good = text != NULL && hex != NULL &&
                hex_get(view_of(hex), signature, sizeof signature) == E_OK &&
                ec_verify(key, view_of(text), signature) == E_OK;

    free(text); /* jansson allocated it */
    return good;
}

static const struct ctl_column CERTIFIED[] = {{.name = "certified_by"},
                                              {.name = "certified_at"},
                                              {.name = "order", .from = "order.order"},
                                              {.name = "case_id", .from = "order.case_id"},
                                              {.name = "state", .from = "order.state"},
                                              {.name = "agency"},
                                              {.name = NULL}};

int ctl_li_verify(struct ctl *c, struct ctl_args *a)
{
    const char *key_file = ctl_option(a, "--key");
    struct ec_public *key = NULL;
    json_t *file = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, "li verify FILE|- --key FILE");
    if (o.rc == CTL_OK && key_file == NULL) {
        o.rc = ctl_fail(CTL_USAGE, "--key: the public key that the carrier made known; the one "
                                   "within the file proves nothing");
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_public_key(key_file, &key);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_read_json(a->v[0], &file);
    }
    if (o.rc == CTL_OK && !is_signed(file, key)) {
        o.rc = ctl_fail(CTL_REFUSED, "%s: not what the owner of that key signed", a->v[0]);
    }
    if (o.rc == CTL_OK && !c->json) {
        fputs("signed, and unaltered\n", stdout);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_item(c, json_incref(json_object_get(file, "record")), CERTIFIED);
    }
    json_decref(file);
    ec_public_free(key);
    return o.rc;
}
