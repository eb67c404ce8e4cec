/**
 * The command line: every verb with its arguments, options and one line of help. A verb's code is imported
 * when it runs, so that `skiff version` starts quickly.
 */
import { Command, Option } from 'commander';
import { type Context, createContext, type GlobalOptions } from './context.ts';

/** What a verb's file exports: `run(context, arguments..., options)`. */
type Run = (context: Context, ...rest: never[]) => Promise<void>;

/** Builds the program; parsing it runs the verb. */
export function createProgram(): Command {
  const program = new Command('skiff')
    .description('A whole Kubernetes node in one process.')
    .option('--root <dir>', 'keep all state, sockets and logs below this directory instead of /')
    .helpCommand('help [verb]', 'show the help of a verb')
    .showHelpAfterError('(skiff help lists the verbs)')
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({ sortSubcommands: false });
  podVerbs(program);
  containerVerbs(program);
  imageVerbs(program);
  apiVerbs(program);
  nodeVerbs(program);
  for (const verb of program.commands) takeRoot(verb);
  return program;
}

/** Lets `--root` stand after the verb too: `skiff up --root DIR pod.yaml`. */
function takeRoot(verb: Command): void {
  verb.addOption(new Option('--root <dir>').hideHelp());
  for (const inner of verb.commands) takeRoot(inner);
}

function action(load: () => Promise<{ run: Run }>) {
  return async function (this: Command, ...given: unknown[]): Promise<void> {
    const context = createContext(this.optsWithGlobals<GlobalOptions>());
    const { run } = await load();
    // Commander ends the list with the command itself, which no verb needs.
    await run(context, ...(given.slice(0, -1) as never[]));
  };
}

const json = () => new Option('--json', 'print JSON');

function podVerbs(program: Command): void {
  program
    .command('up <manifest...>')
    .description('run the pods of manifests and follow them; Ctrl-C ends them')
    .option('-d, --detach', 'return when the pods are ready and leave them running')
    .option('--timeout <seconds>', 'how long to wait for the pods to be ready', '120')
    .action(action(() => import('./verbs/up.ts')));
  program
    .command('down [manifest...]')
    .description('end the pods of manifests, or all that `up` started, and the node with the last of them')
    .option('--grace <seconds>', "seconds between SIGTERM and SIGKILL instead of the pods' own")
    .action(action(() => import('./verbs/down.ts')));
  program
    .command('pods')
    .description('list pods')
    .addOption(json())
    .action(action(() => import('./verbs/pods.ts')));
}

function containerVerbs(program: Command): void {
  program
    .command('ps')
    .description('list containers')
    .option('-a, --all', 'also those that have ended')
    .addOption(json())
    .action(action(() => import('./verbs/ps.ts')));
  program
    .command('logs <pod> [container]')
    .description('print the logs of a pod or of one of its containers')
    .option('-f, --follow', 'go on as they grow')
    .option('-p, --previous', 'of the container before the last restart')
    .option('-t, --timestamps', 'with the time of each line')
    .option('--tail <lines>', 'only the last lines')
    .option('--since <duration>', 'only what is younger: 30s, 5m, 2h')
    .action(action(() => import('./verbs/logs.ts')));
  program
    .command('exec <pod> <command...>')
    .description('run a command in a container')
    .option('-i, --stdin', 'pass standard input on')
    .option('-t, --tty', 'with a terminal')
    .option('-c, --container <name>', 'which container; the first unless told')
    .passThroughOptions()
    .action(action(() => import('./verbs/exec.ts')));
  program
    .command('stop <name...>')
    .description('stop containers, or end pods with their grace period')
    .option('--time <seconds>', 'seconds between SIGTERM and SIGKILL')
    .action(action(() => import('./verbs/stop.ts')));
  program
    .command('rm <name...>')
    .description('remove containers or pods')
    .option('-f, --force', 'also running ones, at once')
    .action(action(() => import('./verbs/rm.ts')));
  program
    .command('inspect <name>')
    .description('all that is known of a container, pod or image, as JSON')
    .addOption(new Option('--json', 'as it is without this, too').hideHelp())
    .action(action(() => import('./verbs/inspect.ts')));
  program
    .command('vm')
    .description('look at the virtual machines of pods')
    .command('list')
    .description('list them')
    .addOption(json())
    .action(action(() => import('./verbs/vm-list.ts')));
  program
    .command('events')
    .description('print what happens to pods and containers')
    .option('-f, --follow', 'go on as it happens')
    .addOption(json())
    .action(action(() => import('./verbs/events.ts')));
}

function imageVerbs(program: Command): void {
  program
    .command('images')
    .description('list images')
    .addOption(json())
    .action(action(() => import('./verbs/images.ts')));
  program
    .command('pull <image...>')
    .description('pull images')
    .option('--creds <user:password>', 'credentials for the registry')
    .addOption(json())
    .action(action(() => import('./verbs/pull.ts')));
  program
    .command('rmi <image...>')
    .description('remove images')
    .option('-f, --force', 'also those that containers use')
    .addOption(json())
    .action(action(() => import('./verbs/rmi.ts')));
  program
    .command('push <image>')
    .description('push an image to its registry')
    .option('--creds <user:password>', 'credentials for the registry')
    .addOption(json())
    .action(action(() => import('./verbs/push.ts')));
  program
    .command('save <image...>')
    .description('write images to an archive or OCI layout')
    .requiredOption('-o, --output <path>', 'file or directory; - for standard output')
    .option('--format <name>', 'docker, oci (archives) or oci-dir', 'docker')
    .addOption(json())
    .action(action(() => import('./verbs/save.ts')));
  program
    .command('load')
    .description('load the images of an archive or OCI layout')
    .requiredOption('-i, --input <path>', 'file or directory; - for standard input')
    .addOption(json())
    .action(action(() => import('./verbs/load.ts')));
  program
    .command('tag <source> <target>')
    .description('give an image one more name')
    .addOption(json())
    .action(action(() => import('./verbs/tag.ts')));
  careVerbs(program.command('image').description('build, check and clean up images'));
}

function careVerbs(image: Command): void {
  image
    .command('debian <package...>')
    .description('build an image from Debian packages')
    .requiredOption('-t, --tag <name>', "the image's name")
    .option('--suite <name>', "Debian's release")
    .option('--mirror <line>', 'a mirror or a line of sources.list')
    .option('--full', 'a whole small Debian with installation scripts run, not only the packages')
    .option('--entrypoint <words>', 'the entrypoint, split at spaces')
    .option('--cmd <words>', 'the command, split at spaces')
    .option('--env <name=value...>', 'environment')
    .option('--user <user>', 'user[:group]')
    .option('--workdir <path>', 'working directory')
    .addOption(json())
    .action(action(() => import('./verbs/image-debian.ts')));
  image
    .command('verify [image...]')
    .description('check images to the last bit and mend what is damaged')
    .option('--check', 'only say what is damaged')
    .addOption(json())
    .action(action(() => import('./verbs/image-verify.ts')));
  image
    .command('referrers <image>')
    .description('list what its registry has for an image: signatures, lists of contents')
    .option('--creds <user:password>', 'credentials for the registry')
    .option('--type <artifact-type>', 'only those of this type')
    .addOption(json())
    .action(action(() => import('./verbs/image-referrers.ts')));
  image
    .command('prune')
    .description('remove images without a name and content that nothing needs')
    .option('-a, --all', 'also named images that no container uses')
    .addOption(json())
    .action(action(() => import('./verbs/image-prune.ts')));
}

function apiVerbs(program: Command): void {
  program
    .command('kubeconfig')
    .description('print the kubeconfig of this node for kubectl')
    .option('--path', 'only where it is')
    .action(action(() => import('./verbs/kubeconfig.ts')));
  program
    .command('backup <file>')
    .description("copy the objects of this node's Kubernetes API into a file")
    .action(action(() => import('./verbs/backup.ts')));
  program
    .command('restore <file>')
    .description('put a backup in place of the objects; the node must not run')
    .action(action(() => import('./verbs/restore.ts')));
}

function nodeVerbs(program: Command): void {
  const config = () => new Option('--config <file>', "Skiff's configuration instead of <etc>/config.yaml");
  program
    .command('node')
    .description('run kubelet, CRI server and the Kubernetes API in the foreground')
    .addOption(config())
    .option('--manifests <dir>', 'directory of static pods instead of <etc>/manifests')
    .option('--kubeconfig <file>', 'join the cluster of this kubeconfig instead of serving an API')
    .option(
      '--bootstrap-kubeconfig <file>',
      'credentials to ask a cluster for a certificate of this node with',
    )
    .addOption(new Option('--started-by <who>').hideHelp())
    .action(action(() => import('./verbs/node.ts')));
  program
    .command('cri')
    .description("run the CRI server alone, for somebody else's kubelet or crictl")
    .addOption(config())
    .action(action(() => import('./verbs/cri.ts')));
  program
    .command('kubelet')
    .description('run the kubelet alone, over any CRI runtime')
    .requiredOption('--runtime-endpoint <address>', 'unix:///run/containerd/containerd.sock')
    .addOption(config())
    .option('--manifests <dir>', 'directory of static pods instead of <etc>/manifests')
    .option('--kubeconfig <file>', 'join the cluster of this kubeconfig')
    .option(
      '--bootstrap-kubeconfig <file>',
      'credentials to ask a cluster for a certificate of this node with',
    )
    .action(action(() => import('./verbs/kubelet.ts')));
  program
    .command('conformance')
    .description('judge a CRI runtime by its answers')
    .option('--endpoint <address>', "unix:///run/containerd/containerd.sock; this node's unless told")
    .option('--only <text>', 'only rules whose name contains this')
    .option('--handler <name>', "the runtime handler to judge, e.g. vm; the server's default unless told")
    .option('--patience <factor>', 'how many times as long as usual everything may take')
    .option('--at-once <rules>', 'rules at a time; 4 unless told')
    .action(action(() => import('./verbs/conformance.ts')));
  program
    .command('setup [what]')
    .description('install what is missing for: run, vm or tests')
    .action(() => {
      throw new Error('the launcher ./skiff runs the set-up before this program starts');
    });
  program
    .command('version')
    .description('print the versions of Skiff and of what it runs on')
    .addOption(json())
    .action(action(() => import('./verbs/version.ts')));
  program
    .command('doctor')
    .description('check what this machine offers and what is missing')
    .addOption(json())
    .action(action(() => import('./verbs/doctor.ts')));
}
