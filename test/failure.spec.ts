import { expect } from 'chai';
import { explainFailure } from '../lib/cli/failure.js';
import { COMMANDS } from '../lib/cli/program.js';
import { DataError, InvalidArgumentError, ListwiseError } from '../lib/errors.js';

describe('explainFailure', () => {
  const specialize = COMMANDS.find(({ name }) => name === 'specialize')!;
  const message = (error: Error) => explainFailure(error, specialize).message;

  it('writes options as the command line does, in advice after training or dropping failed', () => {
    expect(message(new ListwiseError('NOT_FINITE', 'Try a lower learningRate.'))).to.equal(
      'Try a lower --learning-rate.',
    );
    expect(message(new ListwiseError('BAD_DATA', 'loosen maxSourceRank or listLength.'))).to.equal(
      'loosen --max-source-rank or --list-length.',
    );
    const twice = new DataError({ file: 'c.jsonl', line: 2 }, 'choose skip by the option duplicateIds.');
    expect(message(twice)).to.equal('c.jsonl:2: choose skip by --duplicate-ids.');
  });

  it('names the option where the library names an entry of its array', () => {
    const compare = COMMANDS.find(({ name }) => name === 'compare')!;
    const error = new InvalidArgumentError('others[1]', 'systems of different names', 'base.trec');
    expect(explainFailure(error, compare).message).to.equal(
      'Expected systems of different names for --others but received "base.trec".',
    );
  });

  it('leaves fields of files as they are, whatever options are called', () => {
    const field = new DataError({ file: 'run.yaml', field: 'maxSteps' }, 'Expected a whole number but found NaN.');
    expect(message(field)).to.equal('run.yaml (field "maxSteps"): Expected a whole number but found NaN.');
    expect(message(new DataError({ file: 'a' }, 'the option nobodyHas'))).to.equal('a: the option nobodyHas');
  });
});
