/* Help and shell completion, both made of the table of commands. */
#include <ctype.h>
#include <string.h>

#include "admin_api/ctl_commands.h"

#define GLOBAL_ARGS                                                                                \
    "[--config FILE] [-o table|json] [--json] [--wait] [--url URL] [--socket FILE] "               \
    "[--token-file FILE] [--ca FILE] [--certificate FILE] [--private-key FILE]"

enum { WORD_MAX = 64, WORDS_MAX = 512 };

/* ---- help --------------------------------------------------------------------------------------
 */
static bool is_end(const struct ctl_command *c)
{
    return c->words == NULL && c->help == NULL;
}

const struct ctl_command *ctl_find_command(int argc, char **argv, int *out_words)
{
    for (int words = 2; words >= 1; words--) {
        char text[2 * WORD_MAX];
        if (argc < words) {
            continue;
        }
        snprintf(text, sizeof text, "%s%s%s", argv[0], words == 2 ? " " : "",
                 words == 2 ? argv[1] : "");
        for (const struct ctl_command *c = ctl_commands; !is_end(c); c++) {
            if (c->words != NULL && strcmp(c->words, text) == 0) {
                *out_words = words;
                return c;
            }
        }
    }
    return NULL;
}

void ctl_usage(FILE *to)
{
    fputs("usage: headgatectl [OPTION ...] COMMAND [ARGUMENT ...]\n", to);
    for (const struct ctl_command *c = ctl_commands; !is_end(c); c++) {
        if (c->words == NULL) {
            fprintf(to, "\n%s:\n", c->help);
        } else {
            fprintf(to, "  %-22s %s\n", c->words, c->help);
        }
    }
    fputs("\noptions:\n"
          "  --config FILE          else $HEADGATECTL_CONFIG, else /etc/headgate/ctl.yaml, else\n"
          "                         built-in defaults\n"
          "  -o table|json, --json  how answers are shown\n"
          "  --wait                 return when the gate controllers go by what was written\n"
          "  --socket FILE          headgate-admin's socket on this machine\n"
          "  --url https://HOST:PORT, --token-file FILE, --ca FILE,\n"
          "  --certificate FILE, --private-key FILE\n"
          "                         headgate-admin elsewhere, and who asks; with the commands of\n"
          "                         officers: headgate-li\n"
          "  --version, --help\n"
          "\nexamples:\n"
          "  headgatectl help trunk add\n"
          "  headgatectl line add 1 +12125550101 --name 'A. Subscriber'\n"
          "  headgatectl -o json calls --recent\n"
          "  headgatectl call show 7f3a --ladder\n\n"
          "exit: 0 done, 1 refused, 64 usage, 69 unreachable, 70 internal, 78 configuration\n",
          to);
}

void ctl_command_help(FILE *to, const struct ctl_command *cmd)
{
    fprintf(to, "usage: headgatectl %s%s%s\n  %s\n%s\n", cmd->words, cmd->args[0] != 0 ? " " : "",
            cmd->args, cmd->help, strchr(cmd->examples, '\n') != NULL ? "examples:" : "example:");
    for (const char *at = cmd->examples; *at != 0;) {
        size_t n = strcspn(at, "\n");
        fprintf(to, "  headgatectl %.*s\n", (int)n, at);
        at += n + (at[n] == '\n');
    }
}

int ctl_help(struct ctl *c, struct ctl_args *a)
{
    int words = 0, shown = 0;
    const struct ctl_command *cmd = ctl_find_command(a->n, a->v, &words);

    (void)c;
    if (a->n == 0) {
        ctl_usage(stdout);
        return CTL_OK;
    }
    if (cmd != NULL && words == a->n) {
        ctl_command_help(stdout, cmd);
        return CTL_OK;
    }
    for (cmd = ctl_commands; a->n == 1 && !is_end(cmd); cmd++) {
        size_t n = strlen(a->v[0]);
        if (cmd->words != NULL && strncmp(cmd->words, a->v[0], n) == 0 && cmd->words[n] == ' ') {
            fputs(shown++ > 0 ? "\n" : "", stdout);
            ctl_command_help(stdout, cmd);
        }
    }
    return shown > 0 ? CTL_OK : ctl_fail(CTL_USAGE, "no command '%s'; --help lists them", a->v[0]);
}

/* ---- completion --------------------------------------------------------------------------------
 */
struct option_word {
    char name[WORD_MAX];
    char values[WORD_MAX * 2]; /* with blanks between; "": a text, "@": a file */
};

/* What a placeholder allows: "yes|no" words, "FILE|-" files, "N" nothing that could be known. */
static void read_values(const char *at, size_t n, char *out, size_t max)
{
    size_t len = 0;

    out[0] = 0;
    if (n >= 4 && (memcmp(at, "FILE", 4) == 0 || memcmp(at, "DIR", 3) == 0)) {
        snprintf(out, max, "@");
        return;
    }
    while (n > 0) {
        const char *bar = memchr(at, '|', n);
        size_t word = bar != NULL ? (size_t)(bar - at) : n;
        if (word > 0 && (islower((unsigned char)at[0]) || isdigit((unsigned char)at[0]))) {
            len +=
                (size_t)snprintf(out + len, max - len, "%s%.*s", len > 0 ? " " : "", (int)word, at);
            len = len < max ? len : max - 1;
        }
        at += word + (bar != NULL);
        n -= word + (bar != NULL);
    }
}

/* The next "--name" or "-o" of a table's args; NULL at the end. */
static const char *next_option(const char *at, struct option_word *out)
{
    size_t n = 0;

    for (; *at != 0; at++) {
        if (at[0] == '-' && (at[1] == '-' || (at[1] == 'o' && at[2] == ' '))) {
            break;
        }
    }
    if (*at == 0) {
        return NULL;
    }
    n = 1 + strspn(at + 1, "-abcdefghijklmnopqrstuvwxyz0123456789");
    snprintf(out->name, sizeof out->name, "%.*s", (int)n, at);
    at += n;
    out->values[0] = 0;
    if (*at == ' ' && at[1] != '|' && at[1] != '[' && at[1] != '-') {
        const char *value = ++at, *other = NULL;
        n = strcspn(at, " ])");
        other = strstr(value, "|--"); /* "--spc CODE|--tn NUMBER" */
        if (other != NULL && other < value + n) {
            n = (size_t)(other - value);
        }
        read_values(value, n, out->values, sizeof out->values);
        at += n;
    }
    return at;
}

static void print_options(FILE *to, const char *pattern, const char *args, bool is_values)
{
    struct option_word o;
    bool any = false;

    for (const char *at = args; (at = next_option(at, &o)) != NULL;) {
        if (!is_values) {
            fprintf(to, "%s%s", any ? " " : pattern, o.name);
            any = true;
        } else if (o.values[0] != 0) {
            fprintf(to, "    '%s %s') values='%s' ;;\n", pattern, o.name, o.values);
        }
    }
    fputs(any ? "' ;;\n" : "", to);
}

/* The first words, or the second ones of one first word, each once and in the table's order. */
static void print_words(FILE *to, const struct ctl_command *commands, const char *first)
{
    char last[WORD_MAX] = "";
    bool any = false;

    for (const struct ctl_command *c = commands; !is_end(c); c++) {
        const char *space = c->words != NULL ? strchr(c->words, ' ') : NULL;
        size_t n = c->words != NULL ? strcspn(c->words, " ") : 0;
        if (first == NULL && n > 0 && (strlen(last) != n || strncmp(last, c->words, n) != 0)) {
            snprintf(last, sizeof last, "%.*s", (int)n, c->words);
            fprintf(to, "%s%s", any ? " " : "", last);
            any = true;
        } else if (first != NULL && space != NULL && strlen(first) == n &&
                   strncmp(first, c->words, n) == 0) {
            fprintf(to, "%s%s", any ? " " : "", space + 1);
            any = true;
        }
    }
}

static void print_second_words(FILE *to, const struct ctl_command *commands)
{
    char last[WORD_MAX] = "";

    for (const struct ctl_command *c = commands; !is_end(c); c++) {
        size_t n = c->words != NULL ? strcspn(c->words, " ") : 0;
        if (n == 0 || c->words[n] == 0 || (strlen(last) == n && strncmp(last, c->words, n) == 0)) {
            continue;
        }
        snprintf(last, sizeof last, "%.*s", (int)n, c->words);
        fprintf(to, "    %s) words='", last);
        print_words(to, commands, last);
        fputs("' ;;\n", to);
    }
}

void ctl_bash(FILE *to, const struct ctl_command *commands)
{
    char pattern[2 * WORD_MAX];

    fputs("# Completion of headgatectl for bash; written by `headgatectl completion bash`.\n"
          "_headgatectl()\n{\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    local i word first= command= words= options= values=\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        word=${COMP_WORDS[i]}\n"
          "        case $word in\n"
          "        --json | --wait) continue ;;\n"
          "        -*) [ -n \"$first\" ] || ((i++)); continue ;;\n"
          "        esac\n"
          "        if [ -z \"$first\" ]; then first=$word command=$word\n"
          "        elif [ \"$command\" = \"$first\" ]; then command=\"$first $word\"; fi\n"
          "    done\n"
          "    case $first in\n"
          "    '') words='",
          to);
    print_words(to, commands, NULL);
    fputs("' ;;\n", to);
    print_second_words(to, commands);
    fputs("    esac\n    [ \"$command\" = \"$first\" ] || words=\n    case $command in\n", to);
    for (const struct ctl_command *c = commands; !is_end(c); c++) {
        if (c->words != NULL && strchr(c->words, ' ') != NULL) {
            snprintf(pattern, sizeof pattern, "    '%s') options='", c->words);
            print_options(to, pattern, c->args, false);
        } else if (c->words != NULL) {
            snprintf(pattern, sizeof pattern, "    %s | '%s '*) options='", c->words, c->words);
            print_options(to, pattern, c->args, false);
        }
    }
    print_options(to, "    '') options='", GLOBAL_ARGS, false);
    fputs("    esac\n    case \"$command $prev\" in\n", to);
    for (const struct ctl_command *c = commands; !is_end(c); c++) {
        if (c->words != NULL) {
            print_options(to, c->words, c->args, true);
        }
    }
    print_options(to, "", GLOBAL_ARGS, true);
    fputs(
        "    esac\n"
        "    if [ \"$values\" = @ ]; then mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
        "    elif [ -n \"$values\" ]; then mapfile -t COMPREPLY < <(compgen -W \"$values\" -- "
        "\"$cur\")\n"
        "    else mapfile -t COMPREPLY < <(compgen -W \"$words $options --help\" -- \"$cur\"); fi\n"
        "}\ncomplete -o filenames -o bashdefault -F _headgatectl headgatectl\n",
        to);
}

int ctl_completion(struct ctl *c, struct ctl_args *a)
{
    (void)c;
    if (a->n != 1 || strcmp(a->v[0], "bash") != 0) {
        return ctl_fail(CTL_USAGE, "usage: headgatectl completion bash");
    }
    ctl_bash(stdout, ctl_commands);
    return CTL_OK;
}
