import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';
import { cudaKernelsOf } from '../lib/cli/doctor.js';
import { findNvcc } from '../lib/setup/nvcc.js';
import { home, useHome, write } from './setup-home.js';

/** A program that says of itself what the nvcc of a version does. */
function fakeNvcc(path: string, version: string): string {
  const says = `nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release ${version}, V${version}.131`;
  const file = write(path, `#!/bin/sh\nprintf '${says.replaceAll('\n', '\\n')}\\n'\n`);
  spawnSync('chmod', ['+x', file]);
  return file;
}

describe('findNvcc', () => {
  useHome();

  // Only what the test made is found, but for a toolkit in /usr/local/cuda.
  const env = (more: NodeJS.ProcessEnv) => ({ PATH: join(home, 'none'), ...more });

  it('takes the first of the same major version as the CUDA of libtorch', () => {
    const newer = fakeNvcc('bin/nvcc', '13.0');
    const fits = fakeNvcc('cuda/bin/nvcc', '12.9');
    const both = env({ CUDACXX: newer, CUDA_HOME: join(home, 'cuda') });
    expect(findNvcc({ cuda: '12.4' }, both)).to.deep.equal({ nvcc: { program: fits, version: '12.9' }, problem: null });
    expect(findNvcc({ cuda: '13.0' }, both).nvcc).to.deep.equal({ program: newer, version: '13.0' });
    const inPath = env({ PATH: join(home, 'bin') });
    expect(findNvcc({ cuda: '13.0' }, inPath).nvcc).to.deep.equal({ program: 'nvcc', version: '13.0' });
  });

  it('says what is there and what libtorch was built for, where none fits', () => {
    const other = fakeNvcc('bin/nvcc', '99.1');
    const { nvcc, problem } = findNvcc({ cuda: '98.4' }, env({ CUDACXX: other }));
    expect(nvcc).to.equal(null);
    expect(problem)
      .to.match(/is of CUDA 99\.1.*, but libtorch was built for CUDA 98\.4$/)
      .and.to.include(other);
    const broken = write('broken', 'exit 1');
    expect(findNvcc({ cuda: 'unknown' }, env({ CUDACXX: broken })).nvcc).to.equal(null);
  });

  it('looks for none for a CPU build', () => {
    expect(findNvcc({ cuda: null }, env({ CUDACXX: fakeNvcc('nvcc', '12.4') }))).to.deep.equal({
      nvcc: null,
      problem: null,
    });
  });

  it("is what doctor's line goes by where no kernels were compiled", () => {
    const libtorch = { cuda: '98.4' };
    expect(cudaKernelsOf(libtorch, true)).to.deep.equal({ name: 'CUDA kernels', found: 'compiled', state: 'ok' });
    const other = env({ CUDACXX: fakeNvcc('nvcc', '99.1') });
    const missing = cudaKernelsOf(libtorch, false, other);
    expect(missing).to.include({ state: 'note' });
    expect(missing.found).to.match(/^not compiled: .* is of CUDA 99\.1/);
    expect(missing.fix).to.include('CUDACXX').and.to.include('run setup again');
    const later = env({ CUDACXX: fakeNvcc('later', '98.9') });
    expect(cudaKernelsOf(libtorch, false, later).found).to.match(/later \(CUDA 98\.9\) was not there or did not work/);
  });
});
