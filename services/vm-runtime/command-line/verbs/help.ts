/** `help`: what there is. */
import type { Context } from '../context.ts';

const text = `skiff-vm: an OCI runtime whose pods each live in a microVM

usage: skiff-vm [--root DIR] [--log FILE] [--log-format text|json] COMMAND ...

  create [-b BUNDLE] [--console-socket S] [--pid-file F] ID    make a container
  start ID                                                     let it go on to its program
  run [-b BUNDLE] [-d] [--keep] ID                             create and start, wait, delete
  exec [-t] [-d] [-u UID[:GID]] [-p FILE] ID COMMAND...        one more process in it
  kill [-a] ID [SIGNAL]        delete [-f] ID                  signal it; forget it
  state ID    list [-q] [-f json]    ps ID                     look at it
  pause ID    resume ID    update [-r FILE] ID                 hold it; change its limits
  events [--stats] ID    stats ID                              what it uses
  spec [-b BUNDLE]    features                                 an example config.json; what this runtime can do
  factory refill [--memory MIB] [--cpus N] | drain             a booted VM that those of this size are cloned from
  pod create FILE | delete ID | list | console ID              VMs that live without a container
`;

export async function run(context: Context): Promise<undefined> {
  context.print(text);
}
