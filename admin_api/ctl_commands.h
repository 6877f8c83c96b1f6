/* admin_api/ctl_commands.h - the table of commands, and what is made of it. */
#ifndef ADMIN_API_CTL_COMMANDS_H
#define ADMIN_API_CTL_COMMANDS_H

#include <stdio.h>

#include "admin_api/ctl.h"

struct ctl_command {
    const char *words;    /* one or two; NULL: the head of a group, whose name is `help` */
    const char *args;     /* "NAME [--colour red|blue] [--file FILE]", "" none */
    const char *help;     /* one line */
    const char *examples; /* one on each line, without the program's name */
    int (*run)(struct ctl *c, struct ctl_args *a);
};
extern const struct ctl_command ctl_commands[]; /* ends with neither words nor help */

/* The longest match of the first words; NULL: there is none. */
const struct ctl_command *ctl_find_command(int argc, char **argv, int *out_words);
void ctl_usage(FILE *to);
void ctl_command_help(FILE *to, const struct ctl_command *cmd);
void ctl_bash(FILE *to, const struct ctl_command *commands);

#endif
