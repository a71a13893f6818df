/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords, from the terminal and nowhere else. */
#ifndef VP_CLI_PASSWORD_H
#define VP_CLI_PASSWORD_H

#define VP_PASSWORD_MAX 256u /* with its NUL */

/*
 * Ask on the terminal, without echo. An exit code, VP_EXIT_USAGE if there is no terminal or nothing
 * was typed; what is wrong was said. The caller wipes @out.
 */
int vp_password_ask(const char *me, const char *prompt, char out[VP_PASSWORD_MAX]);

#endif /* VP_CLI_PASSWORD_H */
