/** One half of the cases on containerd. */
import { testOnContainerd } from './on-containerd.ts';

testOnContainerd(0);
